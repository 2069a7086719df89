"""Both sources of the demo on a real Kafka: all that is due arrives, and labels lie where their events lie."""

import time

import msgspec
import pytest

from app.demo.intake import SteadyIntake
from app.demo.load import Load
from app.demo.phishing import load_cases
from app.demo.processes import LoadIntake
from app.demo.schedule import Schedule
from app.errors import BrokerError
from app.records import topics_of

pytestmark = pytest.mark.broker

CASES = load_cases().streamed


@pytest.fixture
async def topics(unique, create_topics):
    """The features and labels of a pipeline of their own, three partitions each."""
    names = topics_of(unique())
    await create_topics({names.features: 3, names.labels: 3})
    return names


def partitions_by_id(records) -> dict[str, int]:
    """Where each id lies, of the records that are JSON objects with an id."""
    found = {}
    for record in records:
        try:
            value = msgspec.json.decode(record.value or b"")
        except msgspec.DecodeError:
            continue
        if isinstance(value, dict) and "id" in value:
            found[value["id"]] = record.partition
    return found


async def test_the_steady_source_sends_what_is_due_and_then_the_labels_it_owes(bootstrap, topics, read_all, eventually):
    """After the intake stopped the labels still come, each in the partition of its event."""
    schedule = Schedule(CASES, rate=200.0, start_s=time.time())
    intake = SteadyIntake(bootstrap, topics, schedule, clock=time.time)
    await intake.start()
    try:
        await eventually(lambda: intake.sent.events >= 300, deadline_s=20)
        await intake.stop_events()
        await eventually(intake.is_done, deadline_s=20)
    finally:
        await intake.close()

    features, labels = await read_all(topics.features), await read_all(topics.labels)

    assert len(features) == intake.sent.events
    assert len(labels) == intake.sent.labels == len(features) - len(features) // 100
    event_partitions, label_partitions = partitions_by_id(features), partitions_by_id(labels)
    assert {event_partitions[event_id] for event_id in label_partitions} == {0, 1, 2}
    assert label_partitions.items() <= event_partitions.items()


async def test_the_high_rate_source_keeps_its_rate_and_owes_no_label(bootstrap, topics, read_all, eventually):
    """A process of its own sends at the rate asked for; told to end it sends the labels that are missing."""
    intake = LoadIntake(bootstrap, Load(topics.features, topics.labels, partitions=3, rate=5_000.0))
    await intake.start()
    try:
        await eventually(lambda: intake.sent.events > 0, deadline_s=20)
        begun_s, begun_at = time.monotonic(), intake.sent.events
        await eventually(lambda: intake.sent.events >= begun_at + 10_000, deadline_s=20)
        seconds = time.monotonic() - begun_s
        await intake.stop_events()
        await eventually(intake.is_done, deadline_s=20)
    finally:
        await intake.close()

    features, labels = await read_all(topics.features), await read_all(topics.labels)

    assert 1.6 <= seconds <= 4.0
    assert len(features) == intake.sent.events
    assert len(labels) == intake.sent.labels
    event_partitions, label_partitions = partitions_by_id(features), partitions_by_id(labels)
    assert label_partitions.items() <= event_partitions.items()
    assert len(label_partitions) == len(labels)
    assert len(features) - len(labels) == len(features) // 10_000 + 1  # the broken ones, which get no label


async def test_a_source_that_fails_is_heard_of(topics, eventually):
    """When Kafka is not there the run is told, with what the source said last."""
    intake = LoadIntake("127.0.0.1:1", Load(topics.features, None, partitions=3, rate=5_000.0))
    await intake.start()
    with pytest.raises(BrokerError, match="high-rate source ended with status 1"):
        await eventually(intake.is_done, deadline_s=30)
    await intake.close()
