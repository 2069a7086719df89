"""Pipelines that join by id: three lanes between an event and its count, and labels without a key."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

from tests.faults.suite.load import Message, Source, usual
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.proxy import Api

SESSION_S = 3
WRITES = (Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE, Api.TXN_OFFSET_COMMIT, Api.END_TXN)


def scattered(name: str) -> Source:
    """The usual events; their labels have no key and lie anywhere."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        for sent in usual(name)(rng):
            yield [message._replace(key=None) if message.labels else message for message in sent]

    return messages


@case(1, proxied=True)
async def by_id_kill(run: Run) -> None:
    """By id: SIGKILL at a request of some transaction, which is lost or has reached Kafka; local state is kept."""
    await run.begin(join="by-id", session_timeout_s=SESSION_S)
    worker = await run.worker()
    async with run.load(source=scattered(run.name)):
        for _ in range(run.times(4)):
            api, lost = run.rng.choice(WRITES), run.rng.random() < 0.5
            rule = (run.proxy.black_hole if lost else run.proxy.hold)(api, skip=run.rng.randrange(20))
            await run.until_met(rule)
            await run.kill(worker)
            run.say(f"it was at {Api(api).name}, which {'was lost' if lost else 'reached Kafka after its death'}")
            rule.release()
            worker = await run.worker()
        run.heal()


@case(3)
async def by_id_zombie(run: Run) -> None:
    """By id: each of two workers is stopped for twice the session and goes on with what it had in hand."""
    await run.begin(join="by-id", partitions=4, session_timeout_s=SESSION_S)
    workers = [await run.worker(), await run.worker()]
    async with run.load(per_s=1500, source=scattered(run.name)):
        await run.pause(0.5, 1.5)
        for frozen in workers[: run.times(2)]:
            frozen.signal(signal.SIGSTOP)
            run.say(f"SIGSTOP {frozen.name}")
            await asyncio.sleep(2 * SESSION_S + run.rng.uniform(0, 1))
            frozen.signal(signal.SIGCONT)
            run.say("SIGCONT")
            await run.pause(0.5, 2.0)
        run.heal()


@case(9, proxied=True)
async def by_id_answers_lost(run: Run) -> None:
    """By id: transactions are done and nobody hears so, those that key anew among them."""
    await run.begin(join="by-id")
    await run.worker()
    async with run.load(source=scattered(run.name)):
        for _ in range(run.times(8)):
            rule = run.proxy.lose_answers(of_api=run.rng.choice([Api.END_TXN, *WRITES]), skip=run.rng.randrange(12))
            await run.until_met(rule)
            run.say("a request was done, and the connection cut instead of an answer")
        run.heal()
