"""Outcomes keep the timestamps of their events, wherever those lie."""

from __future__ import annotations

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
