"""What the doctor makes of what it read, without a broker."""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path

import pytest

from app.doctor.examine import check_partitions, check_topics
from app.doctor.finding import Level
from app.doctor.kafka import release_of
from app.doctor.labels import check_labels
from app.features import Contract
from app.keys import partition_of
from app.topology.topics import wanted_topics
from tests.makers import Given

N = 4
TEXT = """
name = "fraud"
task = "binary"
classes = [0, 1]
key_field = "user"
label_horizon_s = 60

[[features]]
name = "a"
"""


def contract_of(text=TEXT):
    """A contract from its text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contract.toml"
        path.write_text(text)
        return Contract.load(path)


def murmur2(key):
    """Where Java's client puts a key."""
    return partition_of(key, N)


def crc32(key):
    """Where librdkafka puts a key by default."""
    return zlib.crc32(key) % N


def record(partition, key, id_, offset=0):
    """A record with an id."""
    value = id_ if isinstance(id_, bytes) else json.dumps({"id": id_}).encode()
    return Given(value, offset, partition=partition, key=key)


@pytest.fixture(name="labels")
def _labels():
    """The finding on labels and predictions that are given as records."""

    async def check(labels, predictions, contract=None):
        contract = contract or contract_of()
        logs = {contract.topics.labels: labels, contract.topics.predictions: predictions}

        async def read(topic, newest):
            for each in logs[topic][-newest:]:
                yield each

        return await check_labels(contract, N, read, 1_000)

    return check


KEYS = [b"user-%d" % n for n in range(40)]


def pairs(place_label, place_event=murmur2, *, label_key=lambda key: key):
    """Labels and predictions of the same ids, each placed by a function of the event's key."""
    labels = [record(place_label(key), label_key(key), f"e{n}", n) for n, key in enumerate(KEYS)]
    return labels, [record(place_event(key), key, f"e{n}", n) for n, key in enumerate(KEYS)]


async def test_labels_with_their_predictions_are_fine(labels):
    """Labels by murmur2 of the event's key meet it."""
    finding = await labels(*pairs(murmur2))

    assert (finding.level, finding.details["met"], finding.details["misplaced"]) == (Level.OK, 40, 0)


async def test_the_same_foreign_partitioner_for_both_is_fine(labels):
    """What counts is where labels lie, not how they came there."""
    finding = await labels(*pairs(crc32, crc32))

    assert finding.level is Level.OK


@pytest.mark.parametrize(
    ("options", "cause", "fix"),
    [
        ({"place_label": crc32}, "other_partitioner", "partitioner=murmur2_random"),
        ({"place_label": lambda key: (murmur2(key) + 1) % N}, "other_partitioner", "place them by murmur2"),
        ({"place_label": lambda key: (murmur2(key) + 1) % N, "label_key": lambda _: None}, "no_key", "(user of its"),
        (
            {"place_label": lambda key: (murmur2(key) + 1) % N, "label_key": lambda key: key + b"!"},
            "other_key",
            "send each label with the key of its event",
        ),
        ({"place_label": murmur2, "place_event": crc32}, "events_elsewhere", "place events by murmur2 too"),
    ],
)
async def test_a_misplaced_label_is_told_with_its_cause_and_remedy(options, cause, fix, labels):
    """Each way in which labels miss their predictions has a name, examples with coordinates, and a line that helps."""
    given, predictions = pairs(**options)
    n = sum(label.partition != prediction.partition for label, prediction in zip(given, predictions, strict=True))
    finding = await labels(given, predictions)
    (told,) = finding.details["causes"]
    example = told["examples"][0]
    number = int(example["id"][1:])

    assert (finding.level, told["cause"], told["n"]) == (Level.PROBLEM, cause, n)
    assert fix in finding.fix
    assert 'join = "by-id"' in finding.fix
    assert example["label"] == f"fraud.labels-{given[number].partition}-{number}"
    assert example["prediction_partition"] == predictions[number].partition != given[number].partition
    assert ("CRC32" in told["means"]) == (options["place_label"] is crc32)


async def test_an_id_that_is_predicted_in_two_partitions_is_met_in_either(labels):
    """A label beside one of several predictions of its id is no misplaced one."""
    both = [record(0, b"k", "e"), record(1, b"k", "e")]

    assert (await labels([record(0, b"k", "e"), record(1, b"k", "e")], both)).level is Level.OK


async def test_labels_without_a_known_prediction_are_judged_by_their_keys(labels):
    """Where no prediction was read, labels without a key or in a strange place are a warning and no more."""
    good, _ = pairs(murmur2)
    strange, _ = pairs(crc32)
    keyless, _ = pairs(murmur2, label_key=lambda _: None)

    assert (await labels(good, [])).level is Level.OK
    for given in (strange, keyless):
        finding = await labels(given, [])
        assert (finding.level, "--records" in finding.fix) == (Level.WARNING, True)


async def test_records_without_an_id_are_left_out(labels):
    """Garbage on either topic is the business of dead letters."""
    garbage = [record(0, b"k", b"\xff{"), record(0, b"k", b"[]"), record(0, None, None)]
    garbage[2].value = None
    finding = await labels(garbage, garbage)

    assert (finding.level, "no labels" in finding.text) == (Level.OK, True)


async def test_by_id_labels_may_lie_anywhere(labels):
    """With `join = "by-id"` nothing is read."""
    contract = contract_of(TEXT.replace("label_horizon_s", 'join = "by-id"\nlabel_horizon_s'))

    assert (await labels(None, None, contract)).level is Level.OK


def test_missing_topics_are_named():
    """The finding names what is missing and the command that makes it."""
    contract = contract_of()
    wanted = wanted_topics(contract)
    finding = check_topics(contract, wanted, {topic.name: 1 for topic in wanted[1:]})

    assert (finding.level, finding.details["missing"]) == (Level.PROBLEM, ["fraud.features"])
    assert finding.fix == "make them: faust-onnx topics create --pipeline fraud"
    assert check_topics(contract, wanted, {topic.name: 1 for topic in wanted}).level is Level.OK


def test_partition_counts_must_fit():
    """Topics of the events have as many partitions as the features, the others one."""
    contract = contract_of()
    wanted = wanted_topics(contract)
    events = {"fraud.features", "fraud.labels", "fraud.predictions", "fraud.dead-letters"}
    good = {topic.name: 4 if topic.name in events else 1 for topic in wanted}
    narrow = check_partitions(contract, wanted, {**good, "fraud.labels": 3})
    wide = check_partitions(contract, wanted, {**good, "fraud.performance": 2})

    assert check_partitions(contract, wanted, good).level is Level.OK
    assert check_partitions(contract, wanted, {}).level is Level.OK
    assert (narrow.level, "fraud.labels has 3 and needs 4" in narrow.text) == (Level.PROBLEM, True)
    assert "--topic fraud.labels --partitions 4" in narrow.fix
    assert 'join = "by-id"' in narrow.fix
    assert (wide.level, "make fraud.performance anew" in wide.fix) == (Level.PROBLEM, True)


def test_by_id_labels_have_a_partition_count_of_their_own():
    """Then only the dead letters must be as wide as the widest."""
    contract = contract_of(TEXT.replace("label_horizon_s", 'join = "by-id"\nlabel_horizon_s'))
    wanted = wanted_topics(contract)
    events = {"fraud.features", "fraud.predictions"}
    counts = {topic.name: 4 if topic.name in events else 1 for topic in wanted} | {"fraud.labels": 7}

    assert check_partitions(contract, wanted, {**counts, "fraud.dead-letters": 7}).level is Level.OK
    assert "needs 7" in check_partitions(contract, wanted, {**counts, "fraud.dead-letters": 4}).text


def test_a_kafka_that_is_newer_than_we_know_is_welcome():
    """The newest release known is the least that it can be."""
    assert release_of(99) == "4.1 or newer"
