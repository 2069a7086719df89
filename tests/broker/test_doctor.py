"""`faust-onnx doctor` on a real Kafka, with labels as other people's producers send them."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest
from confluent_kafka import Producer

from tests.programs import faust_onnx

pytestmark = pytest.mark.broker

N = 4
CONTRACT = """
name = "{name}"
task = "binary"
classes = [0, 1]
key_field = "user"
label_horizon_s = 60
windows_s = [10]

[[features]]
name = "amount"
"""


@pytest.fixture(name="pipeline")
def _pipeline(write_contract):
    return write_contract(CONTRACT)


@pytest.fixture(name="run")
def _run(bootstrap, pipeline, tmp_path):
    """The command line on the pipeline."""
    return partial(faust_onnx, broker=bootstrap, pipelines=pipeline, models_dir=tmp_path / "models", partitions=N)


@pytest.fixture(name="predicted")
async def _predicted(run, pipeline, produce):
    """Topics, and predictions of 60 events e0 ... by 60 users, placed by murmur2 as the worker leaves them."""
    await run("topics", "create")
    now_s = time.time()
    await produce(
        f"{pipeline}.predictions",
        [
            {
                "key": b"user-%d" % n,
                "value": json.dumps({"id": f"e{n}", "version": 1, "prediction": 1, "event_at": now_s}).encode(),
            }
            for n in range(60)
        ],
    )


def labels(n=60, key=lambda n: b"user-%d" % n):
    """Labels of the events e0 ..., as keyword arguments of a producer."""
    return [{"key": key(number), "value": json.dumps({"id": f"e{number}", "label": 1}).encode()} for number in range(n)]


def confluent(bootstrap, topic, records, **options):
    """Send *records* with confluent-kafka."""
    producer = Producer({"bootstrap.servers": bootstrap, **options})
    for each in records:
        producer.produce(topic, **each)
    assert producer.flush(20) == 0


def finding(report, check):
    """The finding of one check."""
    (found,) = [each for each in report["findings"] if each["check"] == check]
    return found


async def test_a_pipeline_in_order_is_ok(run, pipeline, predicted, produce):
    """Every check says ok with exit code 0, and progress goes to standard error."""
    del predicted
    await produce(f"{pipeline}.labels", labels())
    code, report, talk = await run("doctor", "--json")
    text = await run("doctor", "--pipeline", pipeline)

    assert (code, report["ok"], text[0]) == (0, True, 0)
    assert [(each["check"], each["level"]) for each in report["findings"]] == [
        ("broker", "ok"), ("topics", "ok"), ("partitions", "ok"), ("labels", "ok"),
    ]  # fmt: skip
    assert "Kafka 4.1" in finding(report, "broker")["text"]
    assert finding(report, "labels")["details"]["met"] == 60
    assert f"read 60 records of {pipeline}.predictions" in talk
    assert "all 60 labels" in text[1]


async def test_labels_of_confluent_kafka_are_found_and_its_setting_mends_them(
    run, pipeline, predicted, bootstrap, read_all
):
    """CRC32, librdkafka's default, is recognised by ids; with the advised setting the same labels are fine."""
    del predicted
    topic = f"{pipeline}.labels"
    confluent(bootstrap, topic, labels())
    places = {json.loads(r.value)["id"]: (r.partition, r.offset) for r in await read_all(topic)}
    homes = {json.loads(r.value)["id"]: r.partition for r in await read_all(f"{pipeline}.predictions")}
    n_misplaced = sum(places[each][0] != homes[each] for each in places)
    code, report, _ = await run("doctor", "--json")
    text = await run("doctor")
    found = finding(report, "labels")
    (cause,) = found["details"]["causes"]

    assert (code, report["ok"], found["level"]) == (1, False, "problem")
    assert (found["details"]["misplaced"], found["details"]["met"]) == (n_misplaced, 60 - n_misplaced)
    assert (cause["cause"], cause["n"]) == ("other_partitioner", n_misplaced > 0 and n_misplaced)
    assert "librdkafka" in cause["means"]
    assert "partitioner=murmur2_random" in found["fix"]
    for example in cause["examples"]:
        partition, offset = places[example["id"]]
        assert example["label"] == f"{topic}-{partition}-{offset}"
        assert example["prediction_partition"] == example["murmur2_partition"] == homes[example["id"]] != partition
    assert text[0] == 1
    assert f"{topic}-" in text[1]
    assert "partitioner=murmur2_random" in text[1]

    # The newest 60 of each partition are those of the second producer alone: at most 60 keys went to any of them.
    confluent(bootstrap, topic, labels(), partitioner="murmur2_random")
    again = await run("doctor", "--json", "--records", "10")

    assert finding(again[1], "labels")["details"]["misplaced"] == 0, again[1]


async def test_labels_without_a_key_are_found(run, pipeline, predicted, bootstrap):
    """Null keys are told by their cause, and what to do names the contract's field."""
    del predicted
    confluent(bootstrap, f"{pipeline}.labels", labels(key=lambda _: None), **{"sticky.partitioning.linger.ms": 0})
    code, report, _ = await run("doctor", "--json")
    found = finding(report, "labels")

    assert code == 1
    assert [cause["cause"] for cause in found["details"]["causes"]] == ["no_key"]
    assert found["details"]["misplaced"] > 10
    assert "with the key of its event (user of its record)" in found["fix"]


async def test_labels_by_another_field_are_found(run, pipeline, predicted, produce):
    """Labels under a key of their own are told apart from a wrong partitioner."""
    del predicted
    await produce(f"{pipeline}.labels", labels(key=lambda n: b"order-%d" % n))
    _, report, _ = await run("doctor", "--json")

    assert [cause["cause"] for cause in finding(report, "labels")["details"]["causes"]] == ["other_key"]


async def test_missing_topics_and_a_missing_broker_are_problems(run, pipeline, create_topics):
    """Exit code 1, and each finding says what to do."""
    await create_topics({f"{pipeline}.features": 4, f"{pipeline}.labels": 3})
    code, report, _ = await run("doctor", "--json")
    away = await run("doctor", "--json", "--broker", "127.0.0.1:1")
    unknown = await run("doctor", "--pipeline", "nobody")

    assert (code, finding(report, "topics")["level"], finding(report, "partitions")["level"]) == (
        1,
        "problem",
        "problem",
    )
    assert f"faust-onnx topics create --pipeline {pipeline}" in finding(report, "topics")["fix"]
    assert f"{pipeline}.labels has 3 and needs 4" in finding(report, "partitions")["text"]
    assert (away[0], [each["level"] for each in away[1]["findings"]]) == (1, ["problem"])
    assert "faust-onnx broker" in away[1]["findings"][0]["fix"]
    assert unknown[0] == 2
