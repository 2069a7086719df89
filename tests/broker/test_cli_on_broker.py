"""The command line against a real Kafka: topics, models, dead letters."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from app.errors import Reason
from app.features import dead_letter
from app.records import ModelEvent
from tests.programs import faust_onnx

pytestmark = pytest.mark.broker

RELEASE = Path(__file__).parents[2] / "models" / "fraud" / "releases" / "1.onnx"
CONTRACT = """
name = "{name}"
task = "binary"
classes = ["no", "yes"]
positive = "yes"
threshold = 0.5
label_horizon_s = 60
windows_s = [10]

[[features]]
name = "amount"
dtype = "float"
"""


@pytest.fixture(name="pipeline")
def _pipeline(write_contract):
    return write_contract(CONTRACT)


@pytest.fixture(name="run")
def _run(bootstrap, pipeline, tmp_path):
    """The command line on the pipeline."""
    return partial(faust_onnx, broker=bootstrap, pipelines=pipeline, models_dir=tmp_path / "models", partitions=2)


async def test_topics_are_created_once_and_listed(run, pipeline):
    """A second `create` changes nothing; `list` fails while one is missing."""
    before = await run("topics", "list", "--json")
    created = await run("topics", "create", "--json")
    again = await run("topics", "create", "--json")
    after = await run("topics", "list", "--json")

    assert (before[0], {row["exists"] for row in before[1]}) == (1, {False})
    assert {row["topic"]: row["partitions"] for row in created[1]}[f"{pipeline}.features"] == 2
    assert {row["created"] for row in created[1]} == {True}
    assert {row["created"] for row in again[1]} == {False}
    assert (after[0], {row["exists"] for row in after[1]}) == (0, {True})
    assert len(after[1]) == 8


async def test_a_model_is_published_activated_and_shown(run, pipeline, produce):
    """What `publish` and `activate` wrote is what `list` and `show` tell, with the verdicts of the workers."""
    await run("topics", "create")
    code, first, _ = await run("model", "publish", str(RELEASE), "--activate", "--note", "first", "--json")
    _, second, _ = await run("model", "publish", str(RELEASE), "--json", "--version", "5")
    taken = await run("model", "publish", str(RELEASE), "--version", "5")
    _, activation, _ = await run("model", "activate", "5", "--at", "2100-01-01T00:00:00Z", "--json")
    unknown = await run("model", "activate", "9")
    early = await run("model", "activate", "1", "--at", "2020-01-01")
    for event in ("accepted", "refused"):
        said = ModelEvent(
            event=event, pipeline=pipeline, at=1.0, worker="w", version=1 if event == "accepted" else 5,
            reason=None if event == "accepted" else "not_onnx", error="e",
        )  # fmt: skip
        await produce(f"{pipeline}.model-events", [json.dumps(_fields(said)).encode()])
    _, overview, _ = await run("model", "list", "--json")
    table = await run("model", "list")
    _, shown, _ = await run("model", "show", "1", "--json")
    missing = await run("model", "show", "2")

    assert (code, first["version"], first["note"], first["size"]) == (0, 1, "first", RELEASE.stat().st_size)
    assert first["activation"]["sequence"] == 1
    assert "activation" not in second
    assert (taken[0], "version 5 exists" in taken[2]) == (2, True)
    assert (activation["version"], activation["effective_from_s"]) == (5, 4_102_444_800.0)
    assert (unknown[0], "published are: 1, 5" in unknown[2]) == (2, True)
    assert (early[0], "too late to be known everywhere" in early[2]) == (2, True)
    assert [(each["version"], each["state"]) for each in overview["releases"]] == [(1, "accepted"), (5, "refused")]
    assert overview["in_force"] == {"version": 1, "sequence": 1}
    assert "refused (not_onnx)" in table[1]
    assert (shown["in_force"], [each["sequence"] for each in shown["activations"]]) == (True, [1])
    assert (missing[0], "published are: 1, 5" in missing[2]) == (2, True)


async def test_what_is_no_file_or_too_large_is_not_published(run, tmp_path):
    """The size is judged before anything travels."""
    (tmp_path / "large.onnx").write_bytes(b"x" * 2_000)
    await run("topics", "create")
    absent = await run("model", "publish", str(tmp_path / "absent.onnx"))
    large = await run("model", "publish", str(tmp_path / "large.onnx"), "--max-model-bytes", "1000")

    assert (absent[0], "there is no such file" in absent[2]) == (2, True)
    assert (large[0], "more than max_model_bytes (1000)" in large[2]) == (2, True)


async def test_dead_letters_are_counted_shown_and_replayed(run, pipeline, produce, read_all):
    """The original key and bytes come back to the partition they came from, and only those that were chosen."""
    await run("topics", "create")
    features, topic = f"{pipeline}.features", f"{pipeline}.dead-letters"
    broken = [{"value": b"{broken", "key": b"k%d" % n, "partition": n % 2} for n in range(4)]
    broken.append({"value": b'{"amount": "x"}', "key": None, "partition": 1})
    await produce(features, broken)
    sources = await read_all(features)
    for source in sources:
        reason = Reason.NOT_JSON if source.value == b"{broken" else Reason.WRONG_TYPE
        await _bury(produce, topic, source, reason)
    await _bury(produce, topic, sources[0], Reason.OVERSIZED, max_bytes=3)

    _, listed, _ = await run("dead-letters", "list", "--json")
    _, limited, _ = await run("dead-letters", "list", "--json", "--reason", "wrong_type", "--limit", "0")
    text = await run("dead-letters", "list")
    _, shown, _ = await run("dead-letters", "show", "1:2", "--json")
    none_there = await run("dead-letters", "show", "1:99")
    dry = await run("dead-letters", "replay", "--reason", "not_json", "--dry-run", "--json")
    n_before = len(await read_all(features))
    one = await run("dead-letters", "replay", "1:2", "--json")
    several = await run("dead-letters", "replay", "--reason", "not_json", "--partition", "0", "--to", "0", "--json")
    cut = await run("dead-letters", "replay", "--reason", "oversized")
    nothing = await run("dead-letters", "replay", "0:99")

    assert listed["by_reason"] == {"not_json": 4, "wrong_type": 1, "oversized": 1}
    assert [each["source_topic"] for each in listed["dead_letters"]] == [features] * 6
    assert (limited["total"], limited["dead_letters"]) == (1, [])
    assert "not_json" in text[1]
    assert (shown["value"], shown.get("key"), shown["headers"]["reason"]) == ('{"amount": "x"}', None, "wrong_type")
    assert (none_there[0], "there is no dead letter at 1:99" in none_there[2]) == (1, True)
    assert (dry[0], dry[1]["replayed"], n_before) == (0, 4, len(sources))
    assert (one[0], one[1]["replayed"]) == (0, 1)
    assert (several[0], several[1]["replayed"]) == (0, 1)
    assert (cut[0], "only 1 of its 7 bytes were kept" in cut[2]) == (1, True)
    assert (nothing[0], "there is no dead letter at 0:99" in nothing[2]) == (1, True)
    replayed = [record for record in await read_all(features) if record.headers]
    assert [(each.partition, each.key, each.value, dict(each.headers)) for each in replayed] == [
        (0, b"k0", b"{broken", {"replayed-from": f"{topic}-0-0".encode()}),
        (1, None, b'{"amount": "x"}', {"replayed-from": f"{topic}-1-2".encode()}),
    ]


async def test_a_topic_that_is_not_there_is_told(run):
    """Before its topics exist a pipeline has no dead letters to look at."""
    code, _, text = await run("dead-letters", "list")

    assert (code, "has no topic" in text) == (1, True)


async def test_reading_ends_at_a_transaction_marker(run, pipeline, produce):
    """The last offset of a topic may be a marker that is never delivered: reading does not wait for it."""
    await run("topics", "create")
    letter = {"value": b"x", "partition": 0, "headers": [("reason", b"not_json")]}
    await produce(f"{pipeline}.dead-letters", [letter], transactional_id=f"{pipeline}-t")

    _, listed, _ = await run("dead-letters", "list", "--json")

    assert listed["by_reason"] == {"not_json": 1}


async def _bury(produce, topic, source, reason, **options):
    """Write the dead letter of *source* as a worker would."""
    made = dead_letter(source, reason, "broken", failed_at_s=1.0, **options)
    await produce(
        topic, [{"value": made.value, "key": made.key, "partition": source.partition, "headers": made.headers}]
    )


def _fields(record):
    return {name: getattr(record, name) for name in record.__struct_fields__ if getattr(record, name) is not None}
