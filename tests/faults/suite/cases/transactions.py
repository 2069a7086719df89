"""The end of a transaction is lost, late, or refused: what took place must be found out, never guessed."""

from __future__ import annotations

import asyncio

from aiokafka.errors import for_code

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run, RunFailed
from tests.kafka_frames import transactional_id
from tests.proxy import Api

TIME_OUT_S = 15.0
"""For which a lane waits for an answer (app/transport/coordination.py)."""
NOT_NOW = (14, 15, 16, 51)
"""COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS."""
FENCING = (47, 90, 49, 48)
"""INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_PRODUCER_ID_MAPPING, INVALID_TXN_STATE."""
OF_HEARTBEAT = (16, 22, 25, 27)
"""NOT_COORDINATOR, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS. While it loads Kafka answers
heartbeats with no error at all; of COORDINATOR_LOAD_IN_PROGRESS clients would end, Java's too."""
OF_JOIN = (14, 16, 25)
"""COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, UNKNOWN_MEMBER_ID."""
MISSED_MAX = 8
TRANSACTION = (
    Api.INIT_PRODUCER_ID, Api.ADD_PARTITIONS_TO_TXN, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN,
)  # fmt: skip
FREQUENT = TRANSACTION[1:]


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
            lane = transactional_id(rule.frame)
            api = run.rng.choice([Api.ADD_PARTITIONS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN])
            await run.proxy.seen(api, where=lambda frame, lane=lane: transactional_id(frame) == lane)
            rule.release()
            run.say(f"and reaches Kafka during the next transaction of {lane}, at its {api.name}")
        run.heal()


@case(9, proxied=True)
async def commit_answer_lost(run: Run) -> None:
    """Requests of every kind that write are lost, or done without an answer, at random."""
    await run.begin()
    await run.worker()
    apis = [Api.PRODUCE, *TRANSACTION[1:], *([Api.OFFSET_COMMIT] if run.mode == "at_least_once" else [])]
    tries, met = run.times(10), 0
    async with run.load():
        for _ in range(tries):
            await run.pause(0.0, 0.4)
            cut = run.rng.random() < 0.5
            skip = run.rng.randrange(6)
            rule = run.proxy.cut(*apis, skip=skip) if cut else run.proxy.lose_answers(of_api=_one(run, apis), skip=skip)
            if await _met(rule, within_s=5.0):
                met += 1
                names = "/".join(sorted(Api(api).name for api in rule.apis)) if not cut else "a write"
                run.say(f"{names} {'was lost on its way' if cut else 'was done, its answer lost'}")
            rule.left = 0
        run.must(2 * met > tries, f"of {tries} requests that were to be lost only {met} came")
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
    """Refuse requests of all kinds; each of *codes* must really have been met."""
    await run.begin()
    await run.worker()
    met, missed = set[int](), 0
    async with run.load():
        for n in range(max(len(codes), run.times(16))):
            await run.pause(0.0, 0.5)
            code = codes[n % len(codes)]
            while not await _refused(run, Api.INIT_PRODUCER_ID if n % 5 == 0 else _one(run, FREQUENT), code):
                missed += 1
                if missed > MISSED_MAX:
                    raise RunFailed(f"requests of transactions do not come: {missed} were waited for in vain")
            met.add(code)
        run.heal()
    run.must(met == set(codes), f"of the errors {codes} only {sorted(met)} were met")


async def _refused(run: Run, api: Api, code: int) -> bool:
    """Refuse the next few requests of a kind with *code*; whether one came."""
    rule = run.proxy.inject(
        api, code=code, count=run.rng.choice([1, 1, 2, 4]), skip=run.rng.randrange(5) if api in FREQUENT else 0,
        executed=api == Api.END_TXN and run.rng.random() < 0.5,
    )  # fmt: skip
    if api == Api.INIT_PRODUCER_ID:  # it comes only when a lane has to look after its transaction
        run.proxy.lose_answers(of_api=Api.END_TXN)
    found = await _met(rule, within_s=5.0)
    if found:
        run.say(f"{api.name} is answered {_name(code)}{' although it was done' if rule.executed else ''}")
    else:
        rule.left = 0
    return found


@case(12, proxied=True)
async def group_errors(run: Run) -> None:
    """Kafka answers heartbeats and those who join with errors: another coordinator, loading, rebalance, unknown."""
    await run.begin(session_timeout_s=3)
    await run.worker()
    await run.worker()
    met: set[tuple[Api, int]] = set()
    wanted = [(Api.HEARTBEAT, code) for code in OF_HEARTBEAT] + [(Api.JOIN_GROUP, code) for code in OF_JOIN]
    run.rng.shuffle(wanted)
    async with run.load(per_s=1500):
        for api, code in wanted[: max(2, run.times(len(wanted)))]:
            await run.pause(0.2, 1.0)
            rule = run.proxy.inject(api, code=code, count=run.rng.choice([1, 1, 2]))
            if api == Api.JOIN_GROUP:  # it comes only when a heartbeat was told so
                run.proxy.inject(Api.HEARTBEAT, code=27)
            await run.until_met(rule)
            met.add((api, code))
            run.say(f"{api.name} is answered {_name(code)}")
        run.heal()
    run.must(run.scale < 1 or len(met) == len(wanted), f"only {sorted(met)} were met")


def _name(code: int) -> str:
    return {90: "PRODUCER_FENCED"}.get(code, for_code(code).__name__)


def _one(run: Run, apis) -> Api:
    return Api(run.rng.choice(list(apis)))


async def _met(rule, *, within_s: float) -> bool:
    try:
        await asyncio.wait_for(rule.was_met.wait(), within_s)
    except TimeoutError:
        return False
    return True
