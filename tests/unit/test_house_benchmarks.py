"""The parts of the benchmarks that decide what a number means, without running them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app.features.contract import Contract
from benchmarks.background import Background
from benchmarks.latency import OpenLoop, percentile
from benchmarks.memory import LABEL_EVERY, Sample, judged, label_maker
from benchmarks.peers.scoring import FEATURES
from benchmarks.rates import Rate
from benchmarks.throughput import medians
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
    loop = OpenLoop("", "", WORKLOADS["a"].record_maker(), rate=1000.0, started_s=5.0)

    assert loop.due_s(2500) == 7.5


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
    assert summary["stock-faust"]["ours_to_this"] == 20.0


def test_records_have_ids_of_their_own_and_all_features() -> None:
    """Ids never repeat, although rows do."""
    make = WORKLOADS["a"].record_maker()
    values = [json.loads(make(number)[1]) for number in (0, 1, 20_000)]

    assert [value.pop("id") for value in values] == ["e-0", "e-1", "e-20000"]
    assert [tuple(value) for value in values] == [FEATURES] * 3
    assert values[0] == values[2]


def test_labels_carry_key_and_id_of_their_event() -> None:
    """So that the ledger can join them."""
    make = WORKLOADS["a"].record_maker()
    key, value = label_maker(make)(3 * LABEL_EVERY)

    assert key == make(3 * LABEL_EVERY)[0]
    assert json.loads(value) == {"id": f"e-{3 * LABEL_EVERY}", "label": 1}


@pytest.mark.parametrize("pipeline", ["bench-ours-1", "memory"])
def test_the_worker_takes_the_contract_of_the_benchmark(pipeline: str, tmp_path: Path) -> None:
    """Names, topics and features are what the benchmark writes."""
    path = tmp_path / "contract.toml"
    path.write_text(WORKLOADS["a"].contract(pipeline, "bench.features"))

    loaded = Contract.load(path)

    assert (loaded.name, loaded.topics.features, loaded.id_field) == (pipeline, "bench.features", "id")
    assert tuple(feature.name for feature in loaded.features) == FEATURES


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
