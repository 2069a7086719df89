"""Workers that freeze with rows in hand, while others take over, and wake up."""

from __future__ import annotations

import asyncio
import signal

from tests.faults.suite.load import scattered
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run, RunFailed
from tests.faults.suite.sockets import owner_of
from tests.faults.suite.swap import publish_second
from tests.kafka_frames import transactional_id
from tests.proxy import Api
from tests.workers import WorkerProcess

SESSION_S = 3
ASLEEP_S, LONG_ASLEEP_S = (6.0, 7.0), (17.0, 18.0)
"""Twice the session; and beyond the 15 s for which a lane waits for an answer, so that it wakes up to a time-out."""
AT = (Api.PRODUCE, Api.TXN_OFFSET_COMMIT)
"""Where a lane of the counts is held: its rows are on their way, or have reached Kafka and wait for the offsets."""
FENCED_WITHIN_S = 20.0


@case(3, proxied=True)
async def zombie(run: Run) -> None:
    """SIGSTOP with rows in hand for longer than the session, then SIGCONT: one of two workers, then both at once."""
    await run.begin(partitions=4, session_timeout_s=SESSION_S)
    await run.worker()
    await run.worker()
    async with run.load(per_s=1500):
        second = await publish_second(run)
        await run.pause(0.5, 1.5)
        for turn in range(run.times(3)):
            await _freeze(run, run.pipeline.topics.predictions, long=_is_long(run, turn), all_=turn == 2)
            await run.pause(0.5, 2.0)
        await second
        run.heal()


@case(3, proxied=True)
async def by_id_zombie(run: Run) -> None:
    """By id: the worker that has rows in hand is stopped for longer than the session and goes on with them."""
    await run.begin(join="by-id", partitions=4, session_timeout_s=SESSION_S)
    await run.worker()
    await run.worker()
    async with run.load(per_s=1500, source=scattered(run.name)):
        second = await publish_second(run)
        await run.pause(0.5, 1.5)
        for turn in range(run.times(2)):
            await _freeze(run, run.pipeline.topics.ledger, long=_is_long(run, turn))
            await run.pause(0.5, 2.0)
        await second
        run.heal()


def _is_long(run: Run, turn: int) -> bool:
    """The first time of every other run at full length."""
    return turn == 0 and run.scale >= 1 and bool(run.seed % 2)


async def _freeze(run: Run, topic: str, *, long: bool, all_: bool = False) -> None:
    """Stop the worker that is writing counts of a partition of *topic*; wake it up once another has written some.

    all_: stop all workers, so that nobody goes on.
    """
    lanes, api = f"app-{run.name}-{topic}-", run.rng.choice(AT)
    held = run.proxy.hold(api, where=lambda frame: (transactional_id(frame) or "").startswith(lanes))
    await run.until_met(held)
    owner = owner_of(held.holding[0].client_port, run.supervised)
    if owner is None:
        raise RunFailed("the worker whose request is held back is gone")
    partition = int(transactional_id(held.frame).removeprefix(lanes))
    frozen = list(run.supervised) if all_ else [owner]
    for each in frozen:
        each.signal(signal.SIGSTOP)
    before = await _committed(run, topic, partition)
    names = " ".join(each.name for each in frozen)
    run.say(f"SIGSTOP {names}: {owner.name} has rows of {topic}-{partition} at {api.name}")
    await asyncio.sleep(run.rng.uniform(*(LONG_ASLEEP_S if long else ASLEEP_S)))
    if not all_:
        await run.eventually(
            lambda: _moved(run, topic, partition, before), 20.0, f"another worker counts {topic}-{partition}"
        )
    logged = owner.log.stat().st_size
    first_awake = long or run.rng.random() < 0.5
    for step in (_wake, held.release) if first_awake else (held.release, _wake):
        step(frozen) if step is _wake else step()
        await asyncio.sleep(0.05)
    run.say("SIGCONT, and what was held back reaches Kafka" if first_awake else "it reaches Kafka, and SIGCONT")
    if not all_:
        await run.eventually(
            lambda: _is_told(owner, logged, topic, partition),
            FENCED_WITHIN_S, f"P1 {owner.name} finds that its lane of {topic}-{partition} was fenced",
        )  # fmt: skip


def _wake(workers: list[WorkerProcess]) -> None:
    for each in workers:
        each.signal(signal.SIGCONT)


async def _committed(run: Run, topic: str, partition: int) -> int:
    return (await asyncio.to_thread(run.watch.committed, topic))[topic, partition]


async def _moved(run: Run, topic: str, partition: int, before: int) -> bool:
    return await _committed(run, topic, partition) > before


def _is_told(worker: WorkerProcess, logged: int, topic: str, partition: int) -> bool:
    lines = worker.log.read_bytes()[logged:].decode(errors="replace").splitlines()
    return any("lane fenced" in line and f"{topic}-{partition}" in line for line in lines)
