"""The parts of the benchmarks that decide what a number means, without running them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import ipc

from app.features import Contract, decoder_of
from app.scoring import Scorer, score_batch
from benchmarks import stages
from benchmarks.background import Background
from benchmarks.latency import percentile
from benchmarks.memory import LABEL_EVERY, Sample, judged, label_maker
from benchmarks.open_loop import Plan as Schedule
from benchmarks.peers.scoring import FEATURES, Scoring
from benchmarks.processes import Running, cpu_seconds
from benchmarks.rates import Rate, agrees
from benchmarks.stages import Fetched
from benchmarks.systems import EVERYWHERE, OURS, SYSTEMS, systems_on
from benchmarks.throughput import AROUND_S, SHORTEST_S, Deadline, Plan, medians
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path


def rate(events_per_s: float) -> Rate:
    """A run that came to *events_per_s*."""
    return Rate(events=1000, seconds=1.0, events_per_s=events_per_s, cpu_us_per_event=5.0, first_prediction_s=1.0)


def test_percentiles_are_values_that_were_seen() -> None:
    """Nearest rank: of 1,000 values the 99.9th percentile is the last but one."""
    ordered = [float(value) for value in range(1, 1001)]

    assert [percentile(ordered, per_mille) for per_mille in (500, 990, 999)] == [500.0, 990.0, 999.0]


def test_a_record_is_due_by_the_schedule_and_not_by_the_one_before_it() -> None:
    """The open loop: what was late before does not move what is due next."""
    schedule = Schedule("features", rate=1000.0, begins_s=5.0, first=100, n=10_000)

    assert schedule.due_s(2600) == 7.5


def test_memory_that_settles_is_flat_and_memory_that_leaks_is_not() -> None:
    """Growth counts only over the last n events."""
    n = 100
    settles = [Sample(events, 1_000_000 + 50_000 * min(events, n)) for events in range(2 * n + 1)]
    leaks = [Sample(events, 1_000_000 + 10_000 * events) for events in range(2 * n + 1)]

    assert judged(settles, n)["flat"]
    assert not judged(leaks, n)["flat"]
    assert judged(leaks, n)["bytes_per_million_events"] == 10_000 * 10**6


def test_medians_and_ratios_to_ours() -> None:
    """A ratio says how many times as fast ours is."""
    summary = medians({"ours": [rate(90.0), rate(100.0), rate(300.0)], "stock-faust": [rate(5.0)]})

    assert summary["ours"]["events_per_s"] == 100.0
    assert (summary["ours"]["events_per_s_min"], summary["ours"]["events_per_s_max"]) == (90.0, 300.0)
    assert summary["ours"]["events_per_cpu_s"] == 200_000.0
    assert summary["stock-faust"]["ours_to_this"] == 20.0


def test_records_have_ids_of_their_own_and_all_features() -> None:
    """Ids never repeat, although rows do."""
    make = WORKLOADS["a"].record_maker()
    values = [json.loads(make(number)[1]) for number in (0, 1, 20_000)]

    assert [value.pop("id") for value in values] == ["e-0", "e-1", "e-20000"]
    assert [tuple(value) for value in values] == [FEATURES] * 3
    assert values[0] == values[2]


def test_rows_have_ids_of_their_own_over_all_records() -> None:
    """A record of many events has as many rows, and its key is that of all of them."""
    workload = replace(WORKLOADS["f"], n_distinct=70, rows_per_record=30)
    make = workload.record_maker()
    tables = [ipc.open_stream(make(number)[1]).read_all() for number in (0, 2)]

    assert [table.column("id").to_pylist()[::29] for table in tables] == [["e-0", "e-29"], ["e-60", "e-89"]]
    assert tables[0].column_names == ["id", *FEATURES]
    assert tables[1].column(FEATURES[0])[10] == tables[0].column(FEATURES[0])[0]


@pytest.mark.parametrize("letter", "bf")
def test_every_stage_can_be_measured_by_itself(letter: str, tmp_path: Path) -> None:
    """Each has a time for each batch, records of one event and of many alike."""
    took_s = stages.run(replace(WORKLOADS[letter], n_distinct=100), 2000, 3, tmp_path)

    assert {len(laps_s) for laps_s in took_s.values()} == {3}
    assert "feedback: ledger" in took_s


def test_labels_carry_key_and_id_of_their_event() -> None:
    """So that the ledger can join them."""
    make = WORKLOADS["a"].record_maker()
    key, value = label_maker(make)(3 * LABEL_EVERY)

    assert key == make(3 * LABEL_EVERY)[0]
    assert json.loads(value) == {"id": f"e-{3 * LABEL_EVERY}", "label": 1}


def test_the_worker_takes_the_contract_of_the_benchmark(tmp_path: Path) -> None:
    """Names, topics and features are what the benchmark writes."""
    path = tmp_path / "contract.toml"
    path.write_text(WORKLOADS["a"].contract("bench-ours-1", "bench.features"))

    loaded = Contract.load(path)

    assert (loaded.name, loaded.topics.features, loaded.id_field) == ("bench-ours-1", "bench.features", "id")
    assert tuple(feature.name for feature in loaded.features) == FEATURES


@pytest.mark.parametrize("letter", "abcef")
def test_ours_and_the_peers_score_alike(letter: str, tmp_path: Path) -> None:
    """By each contract no record is refused, and whoever scores it publishes the same; (d) has the records of (a)."""
    workload = replace(WORKLOADS[letter], n_distinct=50)
    path = tmp_path / "contract.toml"
    path.write_text(workload.contract("bench", "bench.features"))
    contract, model, make = Contract.load(path), workload.trained_model(), workload.record_maker()
    records = [
        Fetched("bench.features", 0, number, 1_700_000_000_000 + number, *make(number), ()) for number in range(50)
    ]
    scorer = Scorer.load(model.read_bytes(), contract, version=1, sha256="0" * 64)

    ours = score_batch(records, decoder_of(contract, max_record_bytes=1 << 20), lambda _: scorer, now_s=1.7e9)
    peers = Scoring(model, workload.shape).score([r.value for r in records], [r.timestamp for r in records])

    assert not ours.dead_letters
    assert len(peers) == 50 * workload.rows_per_record
    for mine, theirs in zip(ours.predictions, map(json.loads, peers), strict=True):
        assert agrees(json.loads(mine.value), theirs)
        assert json.loads(mine.value).keys() == theirs.keys()


@pytest.mark.parametrize(
    ("prediction", "wanted", "same"),
    [
        ({"prediction": 1, "score": 0.7}, {"prediction": 1, "score": 0.700001}, True),
        ({"prediction": 1, "score": 0.7}, {"prediction": 1, "score": 0.6}, False),
        ({"prediction": 0, "score": 0.7}, {"prediction": 1, "score": 0.7}, False),
        ({"prediction": 1, "score": 0.500001}, {"prediction": 0, "score": 0.499999}, True),
        ({"prediction": 0, "scores": [0.5, 0.3, 0.2]}, {"prediction": 0, "scores": [0.5, 0.3, 0.2]}, True),
        ({"prediction": 1, "scores": [0.5, 0.3, 0.2]}, {"prediction": 0, "scores": [0.5, 0.3, 0.2]}, False),
        ({"prediction": 1, "scores": [0.4, 0.4, 0.2]}, {"prediction": 0, "scores": [0.4, 0.4, 0.2]}, True),
        ({"prediction": 0, "scores": [0.5, 0.5]}, {"prediction": 0, "scores": [0.5, 0.5, 0.0]}, False),
    ],
)
def test_a_wrong_prediction_is_told_from_rounding(
    prediction: dict[str, Any], wanted: dict[str, Any], *, same: bool
) -> None:
    """Scores may differ by rounding, and the class only where that decides it."""
    common = {"version": 1, "event_at": 5.0}

    assert agrees(common | prediction, common | wanted) is same
    assert not agrees(common | {"event_at": 6.0} | prediction, common | wanted)


def test_all_peers_run_where_the_field_is_compared() -> None:
    """On (a), (b) and (e), where one by one is left to (a); on the others at least those of our own environment."""
    assert systems_on(WORKLOADS["a"]) == SYSTEMS
    in_batches = tuple(system for system in SYSTEMS if not system.endswith("-one-by-one"))
    assert [systems_on(WORKLOADS[letter]) for letter in "be"] == [in_batches] * 2
    assert {"quix-streams", "bytewax", "kafka-streams-ort"} <= set(in_batches)
    assert [systems_on(WORKLOADS[letter]) for letter in "cd"] == [EVERYWHERE] * 2
    assert set(systems_on(WORKLOADS["f"])) < set(EVERYWHERE)


def test_each_round_begins_with_another_system() -> None:
    """Nobody always has the quietest moment."""
    plan = Plan(WORKLOADS["a"], (OURS, "x", "y"), rounds=2, n=10, warm_up_s=1.0, window_s=1.0)

    assert [system for _, system in plan.turns()] == [OURS, "x", "y", "x", "y", OURS]


def test_windows_are_whole_while_there_is_time_and_shorter_when_it_runs_out() -> None:
    """A run that is late in the end has the shortest window."""
    plan = Plan(WORKLOADS["a"], (OURS, "x"), rounds=1, n=10, warm_up_s=1.0, window_s=8.0)
    needed_s = 2 * plan.run_s

    assert Deadline(needed_s + 10, [plan]).window_s(plan) == 8.0
    late = Deadline(needed_s * 0.8, [plan])
    assert late.window_s(plan) == pytest.approx(0.8 * plan.run_s - AROUND_S - 1.0, abs=0.1)
    assert Deadline(0.0, [plan]).window_s(plan) == SHORTEST_S


def test_processor_time_includes_that_of_what_a_process_started(tmp_path: Path) -> None:
    """A system is charged for its children, also for those that have ended."""
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    done = tmp_path / "done"
    program = f"""
import pathlib, subprocess, sys, time
subprocess.run([sys.executable, "-c", {burn!r}], check=True)
pathlib.Path({str(done)!r}).touch()
time.sleep(60)
"""
    with Running([sys.executable, "-c", program], log=tmp_path / "log") as running:
        running.wait_until(done.exists, within_s=30, what="the child's end")

        assert cpu_seconds(running.pid) >= 0.2


def test_what_fails_in_the_background_is_raised_where_the_run_is_watched() -> None:
    """And one that works until its block ends has nothing to raise."""

    class Work(Background):
        """Fails, or goes on until it is stopped."""

        fails = False

        def work(self) -> None:
            if self.fails:
                raise ConnectionError("no Kafka")
            self.stopped.wait()

    class Failing(Work):
        fails = True

    with Work() as work:
        work.check()
    work.check()
    with Failing() as failing:
        pass
    with pytest.raises(ConnectionError, match="no Kafka"):
        failing.check()
