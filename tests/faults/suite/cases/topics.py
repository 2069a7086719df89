"""Topics that change under a worker: records removed, partitions added, an output gone."""

from __future__ import annotations

import asyncio

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

from tests.faults.suite.load import usual
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.workers import WorkerProcess

GONE_WITHIN_S = 40.0
STUCK_S = 20.0


@case(23)
async def retention(run: Run) -> None:
    """While no worker runs, records beyond the committed offset are removed: the worker says so and takes the rest."""
    await run.begin()
    worker = await run.worker()
    topic = run.pipeline.topics.features
    async with run.load() as load:
        await run.pause(0.5, 1.5)
        await run.terminate(worker)
        committed = await asyncio.to_thread(run.watch.committed, topic)
        await load.reach(load.events + 3000)
        ends = await asyncio.to_thread(run.watch.ends, [topic])
        removed = {at: run.rng.randint((committed[at] + end) // 2, end) for at, end in ends.items()}
        parts = [TopicPartition(*at, offset) for at, offset in removed.items()]
        await asyncio.to_thread(run.watch.admin, lambda admin: admin.delete_records(parts))
        run.say(f"committed {_shown(committed)}; removed below {_shown(removed)}")
        worker = await run.worker()
        await run.pause(0.5, 1.5)
        run.heal()
        lost = sum(offset - committed[at] for at, offset in removed.items())
        counted = f'faust_onnx_records_skipped_total{{pipeline="{run.name}",topic="{topic}"}} {lost}.0'
        await run.eventually(lambda: _tells(worker, counted), 20.0, f"P7 exactly {lost} records are counted as removed")
    told = [line for line in run.logs().splitlines() if topic in line and "removed" in line]
    run.must(len(told) == len(removed), f"P7 of each partition of {topic} it is told once what was removed: {told}")


async def _tells(worker: WorkerProcess, line: str) -> bool:
    return line in (await worker.get("/metrics"))[1]


def _shown(offsets) -> str:
    return "/".join(str(offset) for _, offset in sorted(offsets.items()))


@case(23, exits=4, drain_s=90.0)
async def partitions_added(run: Run) -> None:
    """The features get more partitions under load: nothing is lost; all goes on when the other topics follow."""
    await run.begin()
    topics = run.pipeline.topics
    await run.worker()
    async with run.load(per_s=1500):
        await run.pause(0.5, 1.5)
        await _widen(run, topics.features, 4)
        run.say("features have four partitions, the others two")
        await asyncio.sleep(run.rng.uniform(5, 8))
        run.notes.append(f"the worker ended {run.exits} times meanwhile")
        for topic in (topics.labels, topics.predictions, topics.dead_letters, run.changelog):
            await _widen(run, topic, 4)
        run.say("the other topics have followed")
        for worker in list(run.supervised):
            await (run.terminate if worker.ready_file.exists() else run.kill)(worker)
        run.settings["partitions"] = 4
        run.spawn()
        run.heal()


async def _widen(run: Run, topic: str, partitions: int) -> None:
    await asyncio.to_thread(
        run.watch.admin, lambda admin: admin.create_partitions([NewPartitions(topic, partitions)], operation_timeout=10)
    )


@case(23, exits=4, drain_s=90.0)
async def output_missing(run: Run) -> None:
    """A topic that is written to or counted is deleted before the first record comes: that is told, never silent."""
    await run.begin(commit_stuck_s=STUCK_S)
    topics = run.pipeline.topics
    await run.worker()
    choice = (topics.predictions, topics.dead_letters, topics.labels, topics.performance, run.changelog)
    missing = choice[run.seed % len(choice)]
    await asyncio.to_thread(run.watch.delete, [missing])
    run.say(f"{missing} is deleted")
    async with run.load(per_s=1500, source=usual(run.name, labels=0.0 if missing == topics.labels else 0.9)):
        await asyncio.sleep(run.rng.uniform(3, 6))
        committed = await asyncio.to_thread(run.watch.committed, topics.features)
        if missing == topics.predictions:
            run.must(not any(committed.values()), f"P1 nothing is committed: {committed}")
        await run.eventually(lambda: run.exits, GONE_WITHIN_S, f"P7 a worker ends because {missing} is gone")
        # Whoever misses the table alone cannot tell: it says that it could commit nothing.
        wanted = "nothing was committed" if missing.endswith("-changelog") else f"{missing} is gone"
        run.must(wanted in run.logs(), f"P7 a worker says that {wanted}")
        if not await asyncio.to_thread(run.watch.partitions, missing):
            await run.pipeline.create()
            run.say("and made again")
        run.heal()


@case(23, exits=2, drain_s=60.0)
async def table_deleted(run: Run) -> None:
    """The changelog of the counts is deleted under load: the worker ends and says so, and all is counted anew."""
    await run.begin(commit_stuck_s=STUCK_S)
    await run.worker()
    changelog = run.changelog
    async with run.load(per_s=1500):
        await run.pause(3.0, 5.0)
        await asyncio.to_thread(run.watch.delete, [changelog])
        run.say(f"{changelog} is deleted")
        await run.eventually(lambda: run.exits, GONE_WITHIN_S, "P7 a worker ends because the changelog is gone")
        run.must("cannot go on" in run.logs(), "P7 it says that it cannot go on")
        run.heal()
