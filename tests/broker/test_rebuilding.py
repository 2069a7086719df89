"""A worker whose local state is gone: what it knows when it says that it is ready."""

from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.broker


async def known(worker):
    """What a worker remembers and serves, and how many records it has still to count."""
    _, status = await worker.get("/api/status")
    ((name, pipeline),) = status["pipelines"].items()
    _, performance = await worker.get(f"/api/performance?pipeline={name}")
    total, lag = performance["total"], status["lag"]
    remembered = sum(each["remembered"] for each in pipeline["feedback"].values())
    return (remembered, total["predicted"], total["n"]), sum(sum(each.values()) for each in lag.values())


async def at_rest(worker, eventually):
    """Wait until all is consumed, and what is served stays as it is for longer than the lag takes to be measured."""
    seen = []

    async def settled():
        found, lag = await known(worker)
        seen.append(found if lag == 0 and found[1] > 0 else None)
        return seen[-1] is not None and seen[-4:] == [seen[-1]] * 4

    await eventually(settled, deadline_s=90, every_s=0.7)


async def test_a_worker_without_its_state_is_ready_when_it_knows_everything_again(pipeline, rng, eventually):
    """Ready means that counts move on: all that was counted is remembered, and nothing of it is counted again.

    Broken by not asking the ledgers in `readiness`: the worker is ready with next to nothing remembered.
    """
    one = pipeline()
    await one.create()
    await one.publish()
    first = await one.start_worker().ready()
    await one.feed(30_000, rng=rng, labels=0.3)

    await at_rest(first, eventually)
    before, _ = await known(first)
    first.signal(signal.SIGTERM)
    assert await first.wait() == 0

    second = await one.start_worker().ready()  # with a state folder of its own
    after, _ = await known(second)
    assert after == before
    await one.feed(500, rng=rng)
    await at_rest(second, eventually)
    await one.verify()
