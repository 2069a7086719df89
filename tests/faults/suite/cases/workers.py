"""Workers that die, join and leave; those that freeze are in zombies.py."""

from __future__ import annotations

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.faults.suite.swap import publish_second
from tests.proxy import Api

SESSION_S = 3


@case(1)
async def kill_random(run: Run) -> None:
    """SIGKILL at random points under load, also while a worker is still starting and while the model is swapped."""
    await run.begin(session_timeout_s=SESSION_S)
    worker = await run.worker()
    async with run.load():
        second = await publish_second(run)
        for _ in range(run.times(4)):
            await run.pause(0.1, 2.0)
            await run.kill(worker)
            worker = run.spawn() if run.rng.random() < 0.4 else await run.worker()
        await second
        run.heal()


@case(1, proxied=True)
async def kill_at_commit(run: Run) -> None:
    """SIGKILL between produce and commit: at the commit's request, or once it has reached Kafka."""
    await run.begin(session_timeout_s=SESSION_S)
    worker = await run.worker()
    commits = [Api.OFFSET_COMMIT, Api.TXN_OFFSET_COMMIT, Api.END_TXN]
    async with run.load():
        for _ in range(run.times(4)):
            apis, lost = run.rng.choice([commits, commits, [Api.PRODUCE]]), run.rng.random() < 0.5
            meddle = run.proxy.black_hole if lost else run.proxy.hold
            rule = meddle(*apis, skip=run.rng.randrange(12))
            await run.until_met(rule)
            await run.kill(worker)
            what = "was lost" if lost else "reached Kafka after its death"
            run.say(f"it was at {' or '.join(Api(api).name for api in apis)}, which {what}")
            rule.release()
            worker = await run.worker()
        run.heal()


@case(2, no_copies=True)
async def sigterm(run: Run) -> None:
    """SIGTERM under load: it ends within 10 s, everything that it has done is committed, and nothing is doubled."""
    await run.begin()
    worker = await run.worker()
    async with run.load():
        for _ in range(run.times(4)):
            await run.pause(0.3, 2.0)
            took_s = await run.terminate(worker)
            run.say(f"SIGTERM {worker.name}, which took {took_s:.1f} s")
            worker = await run.worker()
        run.heal()


@case(4, no_copies=True)
async def join_leave(run: Run) -> None:
    """A second and a third worker join under load, and two leave: each record still has exactly one outcome."""
    await run.begin(partitions=8)
    workers = [await run.worker()]
    async with run.load():
        for _ in range(2):
            await run.pause(0.2, 1.0)
            workers.append(await run.worker())
            run.say(f"{workers[-1].name} joined")
        await run.pause(0.5, 1.5)
        for _ in range(2):
            leaving = workers.pop(run.rng.randrange(len(workers)))
            await run.terminate(leaving)
            run.say(f"{leaving.name} left")
            await run.pause(0.0, 1.0)
        run.heal()


@case(4)
async def join_and_die(run: Run) -> None:
    """Workers join while others are killed, three of them at most, on eight partitions, and the model is swapped."""
    await run.begin(partitions=8, session_timeout_s=SESSION_S)
    workers = [await run.worker()]
    async with run.load():
        second = await publish_second(run)
        for _ in range(run.times(3)):
            while len(workers) < 3:
                workers.append(run.spawn())
            await run.pause(0.5, 3.0)
            for _ in range(run.rng.choice([1, 1, 2])):
                await run.kill(workers.pop(run.rng.randrange(len(workers))))
            await run.pause(0.0, 1.0)
        await second
        run.heal()
