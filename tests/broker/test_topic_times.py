"""Records keep the timestamps of their events or of the worker, wherever those lie."""

from __future__ import annotations

import signal
import time

import pytest

pytestmark = pytest.mark.broker


async def test_outcomes_may_be_stamped_a_day_ahead(pipeline, produce, read_all):
    """Kafka takes predictions and dead letters of an event whose clock is wrong; else its partition stood still."""
    one = pipeline()
    await one.create()
    tomorrow_ms = int((time.time() + 86_400) * 1000)

    for topic in (one.topics.predictions, one.topics.dead_letters):
        await produce(topic, [{"value": b"x", "timestamp_ms": tomorrow_ms}])
        assert [record.timestamp for record in await read_all(topic)] == [tomorrow_ms]


async def test_a_worker_may_be_a_day_ahead(pipeline, produce):
    """Kafka takes what has the worker's own time, also if its clock is wrong; else the worker ended.

    Broken by the broker's default for topics that are made without a word on that: an hour.
    """
    one = pipeline(partitions=1)
    await one.create()
    await one.publish()
    worker = await one.start_worker().ready()
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0
    tomorrow_ms = int((time.time() + 86_400) * 1000)

    changelog = f"app-{one.name}-{one.name}-tallies-changelog"
    for topic in (one.topics.performance, one.topics.model_events, changelog):
        [sent] = await produce(topic, [{"key": b"k", "value": b"x", "timestamp_ms": tomorrow_ms}])
        assert sent.timestamp == tomorrow_ms
