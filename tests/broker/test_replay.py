"""`faust-onnx replay` through whole workers on a real broker: what it prints is what a direct computation gives."""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import sys

import pyarrow as pa
import pytest
from aiokafka.partitioner import murmur2
from pyarrow import parquet

from app.features import Contract
from tests.programs import ROOT, environment, faust_onnx

pytestmark = pytest.mark.broker

N_ROWS = 2_000


def sigmoid(z):
    """P(positive) of the tests' linear model."""
    return 1 / (1 + math.exp(-z))


def some_rows(n=N_ROWS, *, first=0, seed=1):
    """Rows whose label is a > b in four of five cases, ids and users in between."""
    rng = random.Random(seed)
    rows = []
    for number in range(first, first + n):
        a, b = round(rng.uniform(-3, 3), 3), round(rng.uniform(-3, 3), 3)
        truth = int(a > b) if rng.random() < 0.8 else int(a <= b)
        at = 1_700_000_000 + number
        rows.append({"id": f"r-{number}", "user": f"u-{number % 23}", "at": at, "a": a, "b": b, "truth": truth})
    return rows


def expected(rows):
    """Counts and rates of the model that weighs a by 1 and b by -1."""
    hits = tp = fp = fn = 0
    loss = 0.0
    for row in rows:
        p = sigmoid(row["a"] - row["b"])
        guess = int(p >= 0.5)
        hits += guess == row["truth"]
        tp += guess and row["truth"]
        fp += guess and not row["truth"]
        fn += (not guess) and row["truth"]
        loss -= math.log(p if row["truth"] else 1 - p)
    n = len(rows)
    return {
        "n": n,
        "predicted": n,
        "coverage": 1.0,
        "accuracy": hits / n,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "log_loss": pytest.approx(loss / n, rel=1e-4),
    }


def write_csv(path, rows):
    """The rows as a CSV file with a header; what is None is empty."""
    lines = [",".join(rows[0])]
    lines += [",".join("" if value is None else str(value) for value in row.values()) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(name="ready")
def _ready(pipeline):
    """A pipeline whose contract names the label, after the lines of *without* were taken out, its topics and model."""

    async def make(*, without=(), **options):
        one = pipeline(**options)
        path = one.models_dir / one.name / "contract.toml"
        lines = [line for line in path.read_text().splitlines() if line.split(" = ")[0] not in without]
        place = next(at for at, line in enumerate(lines) if line.startswith("label_horizon_s"))
        path.write_text("\n".join([*lines[:place], 'label_field = "truth"', *lines[place:]]) + "\n")
        one.contract = Contract.load(path)
        await one.create()
        await one.publish()
        return one

    return make


def settings(one):
    """The settings of the command line for a pipeline."""
    return {
        "broker": one.bootstrap, "models_dir": one.models_dir, "partitions": one.partitions,
        "app_id": f"app-{one.name}",
    }  # fmt: skip


async def replay(one, file, *flags):
    """Run the command: exit code, what it says as JSON, standard error."""
    return await faust_onnx("replay", file, "--pipeline", one.name, "--json", *flags, **settings(one))


async def test_a_file_gives_the_accuracy_of_a_direct_computation(ready, read_all):
    """Counted from the topics, it is that of /api/performance, and the verifier finds nothing."""
    one = await ready()
    worker = await one.start_worker().ready()
    rows = some_rows()
    code, said, error = await replay(one, write_csv(one.folder / "rows.csv", rows), "--until-joined")

    assert code == 0, error
    assert (said["complete"], said["rows"], said["events"]["sent"]) == (True, N_ROWS, N_ROWS)
    assert said["total"] == expected(rows) == said["versions"]["1"]
    assert said["labels"]["states"] == {"joined": N_ROWS}
    _, performance = await worker.get(f"/api/performance?pipeline={one.name}")
    for name, value in performance["total"].items():
        assert said["total"][name] == pytest.approx(value, rel=1e-12), name
    for topic in (one.topics.features, one.topics.labels):
        for record in await read_all(topic):
            assert (murmur2(record.key) & 0x7FFFFFFF) % one.partitions == record.partition
    await one.verify("--no-faults")


async def test_a_killed_worker_changes_nothing_in_what_is_counted(ready):
    """SIGKILL in the middle; another takes over, and each record counts once."""
    one = await ready(partitions=4)
    first = await one.start_worker().ready()
    file = write_csv(one.folder / "rows.csv", rows := some_rows(4_000))
    running = asyncio.ensure_future(replay(one, file, "--until-joined", "--rate", "1000", "--label-delay", "0.5"))
    await asyncio.sleep(3.5)
    first.signal(signal.SIGKILL)
    await first.wait()
    one.start_worker()
    code, said, error = await running

    assert code == 0, error
    assert said["total"] == expected(rows)
    await one.verify()


async def test_labels_that_are_joined_by_id_are_waited_for_on_the_ledger(ready):
    """With join = "by-id" and an id that is not the key."""
    one = await ready(join="by-id", partitions=3)
    await one.start_worker().ready()
    rows = some_rows()
    code, said, error = await replay(one, write_csv(one.folder / "rows.csv", rows), "--until-joined")

    assert code == 0, error
    assert said["total"] == expected(rows)
    assert said["labels"]["states"] == {"joined": N_ROWS}
    await one.verify("--no-faults")


async def test_without_ids_labels_name_the_coordinates_of_their_events(ready, read_all):
    """No id_field, no key_field, no time: ids are those of the acknowledged records, labels lie beside them."""
    one = await ready(without=("id_field", "key_field", "event_time_field", "event_time_format"), partitions=3)
    await one.start_worker().ready()
    rows = some_rows()
    code, said, error = await replay(one, write_csv(one.folder / "rows.csv", rows), "--until-joined")

    assert code == 0, error
    assert said["total"] == expected(rows)
    records = await read_all(one.topics.features)
    assert {record.key for record in records} == {None}
    at = {f"{one.topics.features}-{r.partition}-{r.offset}": r.timestamp / 1000 for r in records}
    assert {
        (label["id"], label["at"]) for label in map(json.loads, [r.value for r in await read_all(one.topics.labels)])
    } == set(at.items())


async def test_rows_that_the_contract_refuses_are_sent_and_counted_by_reason(ready):
    """A wrong type, a value out of range, a missing one, no id, a bad time, a label that is no class, no label."""
    one = await ready()
    await one.start_worker().ready()
    good = some_rows(100)
    bad = [
        {**row, **fault}
        for row, fault in zip(
            some_rows(7, first=1000),
            [{"a": "much"}, {"a": 1000}, {"b": None}, {"id": None}, {"at": "soon"}, {"truth": 7}, {"truth": None}],
            strict=True,
        )
    ]
    code, said, error = await replay(one, write_csv(one.folder / "rows.csv", good + bad), "--until-joined")

    assert code == 0, error
    reasons = {"wrong_type": 1, "out_of_range": 1, "missing_feature": 1, "bad_id": 1, "bad_time": 1}
    assert said["events"] == {"sent": 107, "too_large": 0, "predicted": 102, "dead_letters": reasons, "open": 0}
    assert said["labels"]["dead_letters"] == {"bad_label": 1}
    assert (said["labels"]["sent"], said["labels"]["without"]) == (105, 2)
    assert said["total"]["n"] == 100
    assert said["total"]["predicted"] == 102


async def test_what_others_send_meanwhile_is_not_counted(ready, rng):
    """Events and labels of somebody else on the same topics, before and while the file is replayed."""
    one = await ready()
    await one.start_worker().ready()
    await one.feed(300, rng=rng)
    rows = some_rows()
    file = write_csv(one.folder / "rows.csv", rows)
    others = asyncio.ensure_future(one.feed(1500, rng=rng, per_s=400))
    code, said, error = await replay(one, file, "--until-joined", "--rate", "800")
    await others

    assert code == 0, error
    assert said["total"] == expected(rows)
    assert said["labels"]["sent"] == N_ROWS


async def test_a_file_that_is_replayed_again_needs_fresh_ids(ready):
    """The second time its ids are known, which is said; with --fresh-ids all counts again."""
    one = await ready()
    await one.start_worker().ready()
    file = write_csv(one.folder / "rows.csv", rows := some_rows(300))
    assert (await replay(one, file, "--until-joined"))[0] == 0
    code, again, _ = await replay(one, file, "--until-joined")
    _, _, told = await faust_onnx("replay", file, "--pipeline", one.name, "--until-joined", **settings(one))
    fresh = await replay(one, file, "--until-joined", "--fresh-ids")

    assert (code, again["total"]["n"], again["total"]["predicted"], again["counted"]) == (0, 0, 0, "performance")
    assert again["labels"]["states"]["duplicate_prediction"] == 300
    assert "--fresh-ids" in told
    assert fresh[1]["total"] == expected(rows)


async def test_old_times_can_be_kept(ready, read_all):
    """Event times are those of the file, labels a day later, and both pass in a moment."""
    one = await ready(horizon_s=2 * 86_400.0)
    await one.start_worker().ready()
    rows = some_rows(500)
    flags = ("--until-joined", "--keep-times", "--label-delay", "86400")
    code, said, error = await replay(one, write_csv(one.folder / "rows.csv", rows), *flags)

    assert code == 0, error
    assert said["total"] == expected(rows)
    sent = {event["id"]: event["at"] for event in (json.loads(r.value) for r in await read_all(one.topics.features))}
    assert sent == {row["id"]: row["at"] for row in rows}
    labels = [json.loads(record.value) for record in await read_all(one.topics.labels)]
    assert {label["id"]: label["at"] for label in labels} == {id_: at + 86_400 for id_, at in sent.items()}


async def test_a_speed_keeps_the_intervals_of_the_file(ready, read_all):
    """Twenty seconds of the file at 20 times the speed: events a twentieth of a second apart, beginning now."""
    one = await ready()
    await one.start_worker().ready()
    rows = some_rows(21)
    code, said, error = await replay(one, write_csv(one.folder / "rows.csv", rows), "--until-joined", "--speed", "20")

    assert code == 0, error
    assert said["seconds"] >= 1.0
    events = sorted((json.loads(record.value) for record in await read_all(one.topics.features)), key=lambda e: e["at"])
    assert [event["id"] for event in events] == [row["id"] for row in rows]
    assert events[-1]["at"] - events[0]["at"] == pytest.approx(1.0, abs=1e-5)
    assert said["total"] == expected(rows)


async def test_a_line_that_cannot_be_read_ends_it_with_what_was_sent(ready, read_all):
    """In the middle of a file: exit code 2, the line, and how many rows are on the topic."""
    one = await ready()
    rows = some_rows(12_000)
    file = write_csv(one.folder / "rows.csv", rows)
    lines = file.read_text().splitlines()
    lines[11_000] = "one cell"
    file.write_text("\n".join(lines))
    code, _, error = await replay(one, file, "--quiet")

    assert code == 2
    assert "line 11001: 1 cell where the header has 6\n  10,000 rows before it were sent" in error
    assert len(await read_all(one.topics.features)) == 10_000


async def test_waiting_in_vain_says_what_is_missing(pipeline):
    """No worker and no model: exit code 1, each with the command that helps."""
    one = pipeline()
    await one.create()
    file = write_csv(one.folder / "rows.csv", some_rows(50))
    code, said, error = await replay(one, file, "--until-joined", "--timeout", "2")

    assert code == 1
    assert "nothing has moved for 2 s: 50 events without an outcome" in error
    assert f"faust-onnx worker --pipelines {one.name}" in error
    assert f"faust-onnx model publish MODEL.onnx --pipeline {one.name} --activate" in error
    assert (said["complete"], said["events"]["open"], len(said["advice"])) == (False, 50, 2)
    assert (
        "does not say where a file has the label"
        in (await faust_onnx("replay", file, "--pipeline", one.name, **settings(one)))[2]
    )


async def test_ctrl_c_stops_in_order_and_says_where_it_stood(ready, read_all, eventually):
    """Exit code 130; what was acknowledged is what is told, and labels that were not due are not sent."""
    one = await ready()
    file = write_csv(one.folder / "rows.csv", some_rows())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "replay", str(file), "--pipeline", one.name, "--rate", "100",
        "--label-delay", "600", "--json", cwd=ROOT, env=environment(**settings(one)), stdout=-1, stderr=-1,
    )  # fmt: skip
    await eventually(lambda: read_all(one.topics.features), every_s=0.2)
    process.send_signal(signal.SIGINT)
    output, error = await process.communicate()
    said = json.loads(output)

    assert process.returncode == 130, error
    assert b"Traceback" not in error
    assert said["stopped"]
    assert said["events"]["sent"] == len(await read_all(one.topics.features)) == said["labels"]["waiting"] < N_ROWS
    assert await read_all(one.topics.labels) == []


async def test_json_lines_and_parquet_say_the_same_as_csv(ready):
    """Their values are JSON values already; each is replayed with ids of its own."""
    one = await ready()
    await one.start_worker().ready()
    rows = some_rows(300)
    lines, columns = one.folder / "rows.jsonl", one.folder / "rows.parquet"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(pa.Table.from_pylist(rows), columns)
    for file in (lines, columns):
        code, said, error = await replay(one, file, "--until-joined", "--fresh-ids")
        assert code == 0, error
        assert said["total"] == expected(rows), file.name
