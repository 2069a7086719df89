"""A worker whose commits stand still says so, and ends; one that is only slow goes on and keeps its partitions."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from tests.proxy import Api
from tests.slow_models import send_slow, slow_model
from tests.workers import PipelineUnderTest

pytestmark = [pytest.mark.broker, pytest.mark.fault]

BATCH = 50


async def test_commits_that_stand_still_turn_readyz_red_and_end_the_worker(start_kafka, tmp_path, eventually):
    """With Kafka paused and batches in flight: red at half of `commit_stuck_s`, and then the end with 1 and a word."""
    kafka = await asyncio.to_thread(start_kafka)
    one = PipelineUnderTest(kafka.bootstrap, "stuck", tmp_path, partitions=1)
    try:
        await one.create()
        await one.publish(model=slow_model())
        worker = await one.start_worker(max_poll_records=BATCH, commit_stuck_s=8).ready()
        await send_slow(one, 8 * BATCH, seconds=1.0)
        await eventually(lambda: _is_behind(worker, one))
        await asyncio.to_thread(kafka.pause)
        paused_at = time.monotonic()
        reasons = await eventually(lambda: _standing(worker), deadline_s=15, every_s=0.2)
        assert worker.process.poll() is None
        code = await worker.wait(40)
        ended_after_s = time.monotonic() - paused_at
    finally:
        one.stop()
    assert f"{one.topics.features}-0 from offset " in reasons[0]
    assert code == 1
    assert ended_after_s < 8 + 20, worker.tail()  # the time to end what has failed
    log = worker.log.read_text()
    [line] = [line for line in log.splitlines() if "the worker cannot go on" in line]
    assert all(part in line for part in ("nothing was committed for 8 s", "FAUST_ONNX_COMMIT_STUCK_S", "start"))


async def test_partitions_that_do_not_open_end_the_worker(proxied, tmp_path, rng):
    """No lane can be taken: the worker does not hold on to partitions of which it reads nothing, but ends with a word.

    Broken by looking at batches alone: none is in flight, and it stands there for ever.
    """
    kafka, proxy = proxied
    one = PipelineUnderTest(kafka.bootstrap, "closed", tmp_path, partitions=1)
    try:
        await one.create()
        await one.publish()
        proxy.black_hole(Api.INIT_PRODUCER_ID, count=10**9, skip=1)  # but not the producer's own
        worker = one.start_worker(broker=proxy.address, commit_stuck_s=8)
        await one.feed(10, rng=rng, labels=0)
        assert await worker.wait(90) == 1, worker.tail()
    finally:
        proxy.heal()
        one.stop()
    [line] = [line for line in worker.log.read_text().splitlines() if "the worker cannot go on" in line]
    assert "partitions were assigned, but are not open" in line


async def test_a_partition_that_waits_for_its_model_does_not_stand_still(pipeline, rng, eventually):
    """Without a model nothing is in flight, however long that lasts."""
    one = pipeline(partitions=1)
    await one.create()
    worker = one.start_worker(commit_stuck_s=2)
    await one.feed(50, rng=rng, labels=0)
    await eventually(lambda: "partitions assigned" in worker.log.read_text(), deadline_s=40)
    await asyncio.sleep(5.0)  # more than twice the limit
    await one.publish()
    await worker.ready()
    assert "nothing was committed" not in worker.log.read_text()


async def test_a_model_slower_than_the_session_timeout_keeps_its_partitions(pipeline, read_all, eventually):
    """A batch takes longer than `session_timeout_s`: heartbeats go on, nothing is shared out anew, no copy is made."""
    one = pipeline(partitions=1)
    await one.create()
    await one.publish(model=slow_model())
    worker = await one.start_worker(max_poll_records=BATCH, session_timeout_s=6).ready()
    before = await _rebalances(worker)
    await send_slow(one, 2, seconds=7.0)
    slowest_s = 0.0

    async def all_scored():
        nonlocal slowest_s
        began = time.monotonic()
        assert (await worker.get("/healthz"))[0] == 200
        slowest_s = max(slowest_s, time.monotonic() - began)
        made = await read_all(one.topics.predictions)
        return made if len(made) >= 2 else None

    made = await eventually(all_scored, deadline_s=120, every_s=0.3)
    assert set(Counter(dict(r.headers)["source-offset"] for r in made).values()) == {1}
    assert await _rebalances(worker) == before
    assert slowest_s < 1.0


async def _is_behind(worker, one):
    _, status = await worker.get("/api/status")
    return status["lag"].get(one.topics.features, {}).get("0")


async def _standing(worker):
    _, body = await worker.get("/readyz")
    return [reason for reason in body["reasons"] if reason.startswith("batches are in flight, but nothing")]


async def _rebalances(worker):
    _, text = await worker.get("/metrics")
    return next(line for line in text.splitlines() if line.startswith("faust_onnx_rebalances_total"))
