"""Told to stop, a worker is gone in ten seconds: with 0 when all it began was committed, else it says what is left."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

import pytest

from app.topology.topics import admin_client
from tests.slow_models import send_slow, slow_model
from tests.workers import PipelineUnderTest

pytestmark = [pytest.mark.broker, pytest.mark.fault]

LEFT = "stopped before all that was begun was committed"
BATCH = 50


async def told_to_stop(worker):
    """Exit code and seconds from SIGTERM to the end."""
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    code = await worker.wait(20)
    return code, time.monotonic() - began


async def is_at_work(worker, one, eventually):
    """Wait until the worker has records that it has not done."""

    async def lags():
        _, status = await worker.get("/api/status")
        return status["lag"].get(one.topics.features, {}).get("0")

    await eventually(lags, deadline_s=20)


async def slow_worker(one, **settings):
    """A worker whose batches take as long as their events say."""
    await one.create()
    await one.publish(model=slow_model())
    return await one.start_worker(max_poll_records=BATCH, **settings).ready()


@pytest.mark.parametrize("delivery", [pytest.param("at_least_once", marks=pytest.mark.long), "exactly_once"])
async def test_a_slow_models_batches_are_finished_and_committed(delivery, pipeline, read_all, eventually):
    """With two seconds a batch it ends with 0 in time, and the next worker makes no copy."""
    one = pipeline(partitions=1)
    first = await slow_worker(one, delivery=delivery)
    await send_slow(one, 8 * BATCH, seconds=2.0)
    await is_at_work(first, one, eventually)
    code, seconds = await told_to_stop(first)
    assert (code, seconds < 10) == (0, True), (seconds, first.tail())
    assert LEFT not in first.log.read_text()
    assert 0 < len(await read_all(one.topics.predictions)) < 8 * BATCH

    await one.publish()  # a quick one for the rest, once it is in force
    await asyncio.sleep(2.5)
    second = await one.start_worker(delivery=delivery).ready()
    await send_slow(one, 10, seconds=0.0)

    async def all_scored():
        made = [dict(r.headers)["source-offset"] for r in await read_all(one.topics.predictions)]
        return made if len(made) >= 8 * BATCH + 10 else None

    made = await eventually(all_scored, deadline_s=90, every_s=0.5)
    assert set(Counter(made).values()) == {1}
    assert (await told_to_stop(second))[0] == 0


async def test_what_cannot_be_finished_is_left_and_named(pipeline, eventually):
    """With a minute a batch it ends in time all the same, with 1, and says from where the next one goes on."""
    one = pipeline(partitions=1)
    worker = await slow_worker(one)
    await send_slow(one, BATCH, seconds=60.0)
    await is_at_work(worker, one, eventually)
    code, seconds = await told_to_stop(worker)
    assert (code, seconds < 10.5) == (1, True), (seconds, worker.tail())
    assert LEFT in worker.log.read_text()
    assert f"{one.topics.features}-0 from offset 0" in worker.log.read_text()


@pytest.mark.parametrize(("how", "begun"), [("pause", True), pytest.param("stop", False, marks=pytest.mark.long)])
async def test_a_broker_that_is_away_does_not_hold_a_worker(how, begun, start_kafka, tmp_path, eventually):
    """Nothing can be committed then: it ends in time, with 1 where it had begun something, and with 0 where not."""
    kafka = await asyncio.to_thread(start_kafka)
    one = PipelineUnderTest(kafka.bootstrap, "away", tmp_path, partitions=1)
    try:
        worker = await slow_worker(one)
        await send_slow(one, BATCH, seconds=0.0)
        await eventually(lambda: _is_committed(one, BATCH), deadline_s=30, every_s=0.2)
        if begun:
            await send_slow(one, 8 * BATCH, seconds=1.0)
            await is_at_work(worker, one, eventually)
        await asyncio.to_thread(getattr(kafka, how))
        await asyncio.sleep(2.0)
        code, seconds = await told_to_stop(worker)
    finally:
        one.stop()
    assert (code, seconds < 10.5) == (int(begun), True), (seconds, worker.tail())
    assert (LEFT in worker.log.read_text()) == begun


async def _is_committed(one, offset):
    async with admin_client(one.bootstrap) as admin:
        committed = await admin.list_consumer_group_offsets(f"app-{one.name}")
    wanted = [(one.topics.features, 0), (one.topics.predictions, 0)]
    return all(committed[tp].offset == offset for tp in wanted if tp in committed) and len(committed) >= len(wanted)
