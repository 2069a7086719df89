"""The end of a transaction is lost, late, or refused: what took place must be found out, never guessed."""

from __future__ import annotations

import asyncio

from aiokafka.errors import for_code

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.proxy import Api

TIME_OUT_S = 15.0
"""For which a lane waits for an answer (app/transport/coordination.py)."""
NOT_NOW = (14, 15, 16, 51)
"""COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS."""
FENCING = (47, 90, 49, 48)
"""INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_PRODUCER_ID_MAPPING, INVALID_TXN_STATE."""
TRANSACTION = (
    Api.INIT_PRODUCER_ID, Api.ADD_PARTITIONS_TO_TXN, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN,
)  # fmt: skip


@case(9, proxied=True)
async def end_answer_lost(run: Run) -> None:
    """The transaction is committed, but its writer never hears so: connections are cut, or stay silent."""
    await run.begin()
    await run.worker()
    async with run.load():
        for _ in range(run.times(6)):
            rule = run.proxy.lose_answers(of_api=Api.END_TXN, skip=run.rng.randrange(8))
            await run.until_met(rule)
            run.say("EndTxn was done, and the connection cut instead of an answer")
        if run.seed % 2:
            rule = run.proxy.black_hole(Api.END_TXN, answers=True)
            await run.until_met(rule)
            run.say("EndTxn was done, and nothing is answered any more")
            await asyncio.sleep(TIME_OUT_S)
        run.heal()


@case(10, proxied=True)
async def end_delayed(run: Run) -> None:
    """EndTxn is held back past its writer's patience and reaches Kafka during the next transaction (KAFKA-17754)."""
    await run.begin(partitions=1)
    await run.worker()
    async with run.load():
        for number in range(run.times(5)):
            rule = run.proxy.hold(Api.END_TXN, skip=run.rng.randrange(6))
            await run.until_met(rule)
            if number == 0 and run.seed % 2:
                run.say(f"EndTxn is held back for {TIME_OUT_S:g} s")
                await asyncio.sleep(TIME_OUT_S - 1)
            else:
                run.say("EndTxn is held back, its writer loses the connection")
                rule.cut_clients()
            await run.proxy.seen(*run.rng.choice([[Api.ADD_PARTITIONS_TO_TXN], [Api.TXN_OFFSET_COMMIT], [Api.END_TXN]]))
            rule.release()
            run.say("and reaches Kafka during the next transaction")
        run.heal()


@case(9, proxied=True)
async def commit_answer_lost(run: Run) -> None:
    """Requests of every kind that write are lost, or done without an answer, at random."""
    await run.begin()
    await run.worker()
    apis = [Api.PRODUCE, Api.OFFSET_COMMIT, *TRANSACTION[1:]]
    async with run.load():
        for _ in range(run.times(10)):
            await run.pause(0.0, 0.4)
            cut = run.rng.random() < 0.5
            skip = run.rng.randrange(6)
            rule = run.proxy.cut(*apis, skip=skip) if cut else run.proxy.lose_answers(of_api=_one(run, apis), skip=skip)
            if await _met(rule, within_s=5.0):
                names = "/".join(sorted(Api(api).name for api in rule.apis)) if not cut else "a write"
                run.say(f"{names} {'was lost on its way' if cut else 'was done, its answer lost'}")
            rule.left = 0
        run.heal()


@case(12, proxied=True)
async def coordinator_errors(run: Run) -> None:
    """Kafka answers requests of transactions with errors that pass: not the coordinator, loading, busy."""
    await _refuse(run, NOT_NOW)


@case(12, proxied=True)
async def fencing_errors(run: Run) -> None:
    """Kafka answers that another producer has taken over, or that it does not know this one."""
    await _refuse(run, FENCING)


async def _refuse(run: Run, codes: tuple[int, ...]) -> None:
    await run.begin()
    await run.worker()
    async with run.load():
        met = 0
        for _ in range(run.times(16)):
            await run.pause(0.0, 0.5)
            api, code = _one(run, TRANSACTION[1:]), run.rng.choice(codes)
            rule = run.proxy.inject(
                api, code=code, count=run.rng.choice([1, 1, 2, 4]), skip=run.rng.randrange(5),
                executed=api == Api.END_TXN and run.rng.random() < 0.5,
            )  # fmt: skip
            if await _met(rule, within_s=5.0):
                met += 1
                done = " although it was done" if rule.executed else ""
                name = {90: "PRODUCER_FENCED"}.get(code, for_code(code).__name__)
                run.say(f"{api.name} is answered {name}{done}")
        run.must(met, "no request of a transaction was ever refused")
        run.heal()


def _one(run: Run, apis) -> Api:
    return Api(run.rng.choice(list(apis)))


async def _met(rule, *, within_s: float) -> bool:
    try:
        await asyncio.wait_for(rule.was_met.wait(), within_s)
    except TimeoutError:
        return False
    return True
