"""Pipelines that join by id: three lanes between an event and its count, and labels without a key."""

from __future__ import annotations

from tests.faults.suite.load import scattered
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.proxy import Api

SESSION_S = 3
WRITES = (Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE, Api.TXN_OFFSET_COMMIT, Api.END_TXN)


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
