"""A broker that goes away, dies and freezes, and a network that resets and crawls."""

from __future__ import annotations

import asyncio

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.proxy import Api

AWAY_RSS_GROWTH_BYTES = 200 << 20
LONGER_THAN_LANES_S = (16.0, 19.0)
"""They wait for 15 s (app/transport/coordination.py)."""
LONGER_THAN_ALL_S = (32.0, 36.0)
"""Producers and consumers wait for 30 s (app/transport/patience.py)."""
SLOW_AT_FIRST_S, SLOW_LATER_S = 40.0, 45.0
"""Four lanes with full batches of 900 kB on one line want a minute, and wait for 15 s: they have to send less at once,
and may find that out in the first of these."""
SLOWED_DOWN = 0.5
"""Of the records that were worked off a second before, at most so many may be while the network is slow."""


@case(6, own_broker=True)
async def broker_restart(run: Run) -> None:
    """Kafka shuts down and comes back 8 to 20 s later: the worker says that it is not ready, and goes on by itself."""
    await run.begin()
    worker = await run.worker()
    async with run.load():
        await run.pause(0.5, 2.0)
        await asyncio.to_thread(run.kafka.stop)
        run.say("Kafka was stopped")
        logged, taken = worker.log.stat().st_size, run.peaks.rss_bytes
        away_s = run.rng.uniform(8, 20) * max(0.5, run.scale)
        red = asyncio.ensure_future(
            run.eventually(lambda: _is_red(worker), away_s, "P7 /readyz red while Kafka is away")
        )
        await asyncio.sleep(away_s)
        await red
        run.must((await worker.get("/healthz"))[0] == 200, "P7 /healthz answers while Kafka is away")
        run.must(worker.log.stat().st_size - logged < 200_000, "P8 little is logged while Kafka is away")
        run.must(run.peaks.rss_bytes - taken < AWAY_RSS_GROWTH_BYTES, "P8 memory does not grow while Kafka is away")
        await asyncio.to_thread(run.kafka.restart)
        run.say(f"Kafka is back after {away_s:.1f} s")
        run.heal()


async def _is_red(worker) -> bool:
    return (await worker.get("/readyz"))[0] == 503


@case(7, own_broker=True)
async def broker_kill(run: Run) -> None:
    """Kafka is killed with SIGKILL, again and again, and started at once."""
    await run.begin()
    await run.worker()
    async with run.load(per_s=1500):
        for _ in range(run.times(5)):
            await run.pause(0.5, 2.0)
            await asyncio.to_thread(run.kafka.kill)
            run.say("SIGKILL Kafka")
            await asyncio.to_thread(run.kafka.restart)
        run.heal()


@case(8, own_broker=True)
async def broker_pause(run: Run) -> None:
    """Kafka freezes for longer than lanes wait for an answer, on every other seed longer than all clients do."""
    await run.begin()
    await run.worker()
    longest_s = run.rng.uniform(*(LONGER_THAN_LANES_S if run.seed % 2 else LONGER_THAN_ALL_S))
    async with run.load():
        for frozen_s in [longest_s, run.rng.uniform(2, 6)][: run.times(2)]:
            await run.pause(0.5, 2.0)
            run.kafka.pause()
            run.say("SIGSTOP Kafka")
            await asyncio.sleep(frozen_s)
            run.kafka.resume()
            run.say(f"SIGCONT Kafka after {frozen_s:.1f} s")
        run.heal()


@case(11, proxied=True)
async def connection_resets(run: Run) -> None:
    """Connections are reset in the middle of a fetch, of a produce request and of their answers, and all at once."""
    await run.begin()
    await run.worker()
    async with run.load():
        for _ in range(run.times(12)):
            await run.pause(0.1, 0.8)
            what = run.rng.choice(["fetch", "fetch answer", "produce", "produce answer", "all"])
            if what == "all":
                run.say(f"RST on {run.proxy.reset()} connections")
                continue
            api = Api.FETCH if what.startswith("fetch") else Api.PRODUCE
            rule = run.proxy.cut(api, answers=what.endswith("answer"))
            await run.until_met(rule)
            run.say(f"RST in the middle of a {what}")
        run.heal()


@case(11, proxied=True, drain_s=90.0)
async def slow_network(run: Run) -> None:
    """200 ms each way and 64 kB/s on each connection, under more load than that can carry: slow, but it goes on."""
    await run.begin(partitions=4)
    await run.worker()
    async with run.load(per_s=3000):
        await run.pause(0.2, 1.0)
        usual_per_s = await _committed_per_s(run, 3.0)
        run.proxy.latency_s, run.proxy.bytes_per_s = 0.2, 64_000.0
        run.say("200 ms each way, 64 kB/s")
        at_first = await _committed_per_s(run, max(3.0, SLOW_AT_FIRST_S * run.scale) + run.rng.uniform(0, 3))
        later = await _committed_per_s(run, max(3.0, SLOW_LATER_S * run.scale))
        run.say(f"{at_first:,.0f} and then {later:,.0f} records/s were worked off, before {usual_per_s:,.0f}")
        run.must(max(at_first, later) < SLOWED_DOWN * usual_per_s, "the network was not slow: this shows little")
        run.must(later > 0 or run.scale < 1, f"P7 records are worked off: none were for {SLOW_LATER_S:g} s")
        run.notes.append(f"{run.logs().count('transaction unsure')} transactions were unsure")
        run.heal()


async def _committed_per_s(run: Run, seconds: float) -> float:
    """Feature records committed a second, over the next *seconds*."""
    topic = run.pipeline.topics.features
    before = await asyncio.to_thread(run.watch.committed, topic)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(run.watch.committed, topic)
    return (sum(after.values()) - sum(before.values())) / seconds


@case(11, proxied=True)
async def partitioned(run: Run) -> None:
    """The worker is cut off from Kafka, or nothing comes through on its connections, for longer than its session."""
    await run.begin(session_timeout_s=3)
    await run.worker()
    async with run.load():
        await run.pause(0.5, 2.0)
        if run.rng.random() < 0.5:
            run.proxy.is_down = True
            run.say(f"cut off, RST on {run.proxy.reset()} connections")
        else:
            run.proxy.black_hole(*Api, count=10**9)
            run.say("nothing comes through")
        await asyncio.sleep(run.rng.uniform(6, 9))
        run.heal()
