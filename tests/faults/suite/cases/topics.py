"""Topics that change under a worker: records removed, partitions added, an output gone."""

from __future__ import annotations

import asyncio

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run


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
    told = [line for line in run.logs().splitlines() if topic in line and "removed" in line]
    run.must(told, f"P7 a worker that finds records of {topic} removed before they were read says so")


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
        ended = [fault for fault in run.faults if "ended by itself" in fault]
        run.notes.append(f"the worker ended {len(ended)} times meanwhile")
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
    """An output topic is deleted before the first record comes: nothing is committed until it is there again."""
    await run.begin()
    topics = run.pipeline.topics
    await run.worker()
    missing = run.rng.choice([topics.dead_letters, topics.predictions])
    await asyncio.to_thread(run.watch.delete, [missing])
    run.say(f"{missing} is deleted")
    async with run.load(per_s=1500):
        await asyncio.sleep(run.rng.uniform(3, 6))
        committed = await asyncio.to_thread(run.watch.committed, topics.features)
        if not await asyncio.to_thread(run.watch.partitions, missing):
            run.must(
                missing == topics.dead_letters or not any(committed.values()), f"P1 nothing is committed: {committed}"
            )
            await run.pipeline.create()
            run.say("and made again")
        else:
            run.say("and was made again by a worker that was started anew")
        run.heal()
