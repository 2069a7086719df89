"""The demo's summary is counted from the topics alone, on a real Kafka."""

import json

import pytest

from app.demo.recount import recount
from app.records import topics_of

pytestmark = pytest.mark.broker

HORIZON_S = 60.0


def prediction(offset: int, *, version: int, said: str, scored_at: float, partition: int = 0) -> dict:
    """A prediction for the event e<offset>, which happened and was stamped at 1000 + offset seconds."""
    at_s = 1_000.0 + offset
    value = {"id": f"e{offset}", "version": version, "prediction": said, "event_at": at_s, "scored_at": scored_at}
    headers = [("source-topic", b"x"), ("source-partition", b"%d" % partition), ("source-offset", b"%d" % offset)]
    return {
        "value": json.dumps(value).encode(),
        "headers": headers,
        "timestamp_ms": int(at_s * 1000),
        "partition": partition,
    }


def label(number: int, said: str, *, delay_s: float = 5.0) -> dict:
    """The label of event e<number>."""
    value = {"id": f"e{number}", "label": said, "at": 1_000.0 + number + delay_s}
    return {"value": json.dumps(value).encode(), "partition": 0}


def dead_letter(topic: str, offset: int, reason: bytes) -> dict:
    """A dead letter of a record of *topic*."""
    source = [("source-topic", topic.encode()), ("source-partition", b"0"), ("source-offset", b"%d" % offset)]
    return {"value": b"x", "headers": [("reason", reason), *source]}


@pytest.fixture
async def topics(unique, create_topics):
    """The topics of a pipeline, made for one test."""
    names = topics_of(unique())
    single = {names.models, names.model_bytes, names.model_events, names.performance}
    await create_topics({name: 1 if name in single else 2 for name in names})
    return names


async def test_an_empty_run_is_told_without_inventing_numbers(bootstrap, topics):
    """Topics without a record give zeros, and None for what cannot be told."""
    counted = await recount(bootstrap, topics, label_horizon_s=HORIZON_S)

    assert counted.as_json(kafka="4.1.2") == {
        "events_in": 0,
        "predictions": 0,
        "dead_letters": 0,
        "labels": 0,
        "joined": 0,
        "accuracy": {},
        "swap_seconds": None,
        "latency_p50_s": None,
        "latency_p99_s": None,
        "kafka": "4.1.2",
    }


async def test_a_run_is_counted_by_ids_and_coordinates(bootstrap, topics, produce, unique):
    """Copies, second labels, late labels and dead labels change no count that they must not change."""
    await produce(topics.features, [b"{}"] * 7)
    activations = [
        {"key": b"activation/1", "value": b'{"sequence":1,"version":1,"effective_from_s":0.0,"author":"t"}'},
        {"key": b"activation/2", "value": b'{"sequence":2,"version":2,"effective_from_s":1003.0,"author":"t"}'},
    ]
    await produce(topics.models, activations, transactional_id=unique("t"))
    await produce(
        topics.predictions,
        [
            prediction(0, version=1, said="good", scored_at=1_000.010),
            prediction(1, version=1, said="bad", scored_at=1_001.020),
            prediction(1, version=1, said="bad", scored_at=1_009.000),  # a copy after a redelivery
            prediction(2, version=1, said="good", scored_at=1_002.030),
            prediction(3, version=2, said="bad", scored_at=1_003.040),
            prediction(4, version=2, said="bad", scored_at=1_004.050, partition=1),
        ],
    )
    await produce(
        topics.dead_letters,
        [
            dead_letter(topics.features, 5, b"not_json"),
            dead_letter(topics.features, 5, b"not_json"),  # a copy
            dead_letter(topics.features, 6, b"bad_id"),
            dead_letter(topics.labels, 0, b"bad_label"),  # no event's outcome
        ],
    )
    await produce(
        topics.labels,
        [
            label(0, "good"),
            label(1, "good"),
            label(1, "bad"),  # the first stands
            label(2, "good", delay_s=HORIZON_S + 1),  # too late to join
            label(3, "bad"),
            label(4, "bad"),
            label(99, "bad"),  # nobody knows this event
            {"value": b"no label"},
        ],
    )

    counted = await recount(bootstrap, topics, label_horizon_s=HORIZON_S)
    told = counted.as_json(kafka="4.1.2")

    assert counted.copies == 1
    assert dict(counted.dead_letters) == {"not_json": 1, "bad_id": 1}
    assert told["events_in"] == 7 == told["predictions"] + told["dead_letters"]
    assert told["labels"] == 8
    assert told["joined"] == 4
    assert told["accuracy"] == {"1": 0.5, "2": 1.0}
    assert told["swap_seconds"] == pytest.approx(0.040, abs=1e-6)
    assert told["latency_p50_s"] == pytest.approx(0.030, abs=1e-6)
    assert told["latency_p99_s"] == pytest.approx(0.0496, abs=1e-6)
