"""Topics that change under a worker: what cannot be right any more ends it with a word, what is missing is counted."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import urllib.request

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

pytestmark = [pytest.mark.broker, pytest.mark.fault]

CANNOT = "the worker cannot go on"


def last_word(worker):
    """The line in which the worker says why it ends."""
    [line] = [line for line in worker.log.read_text().splitlines() if CANNOT in line]
    return line


async def until(work, bootstrap):
    """What an operation of the admin client answers, once it is done."""

    def do():
        admin = AdminClient({"bootstrap.servers": bootstrap})
        return [future.result(30) for future in work(admin).values()]

    return await asyncio.to_thread(do)


async def remove_records(one, topic, offset):
    """As retention would: partition 0 of *topic* begins at *offset*."""
    await until(lambda admin: admin.delete_records([TopicPartition(topic, 0, offset)]), one.bootstrap)


async def running(pipeline, rng, n=20, **options):
    """A pipeline of one partition with a model, and a worker that is ready and has scored *n* events."""
    one = pipeline(partitions=1, **options)
    await one.create()
    await one.publish()
    worker = await one.start_worker().ready()
    await one.feed(n, rng=rng, labels=0)
    return one, worker


async def test_partitions_that_are_added_end_the_worker(pipeline, rng, read_all, eventually):
    """Keys go elsewhere from then on: it says so and ends with 1, and with 2 again until all counts are equal."""
    one, worker = await running(pipeline, rng)
    for topic in (one.topics.features, one.topics.labels):
        await until(lambda admin, name=topic: admin.create_partitions([NewPartitions(name, 3)]), one.bootstrap)
    assert await worker.wait(30) == 1
    assert "has 3 partitions now, and had 1" in last_word(worker)

    again = one.start_worker()
    assert await again.wait(30) == 2
    assert f"topic {one.topics.predictions} has 1 partitions, but needs 3" in again.log.read_text()

    for topic in (one.topics.predictions, one.topics.dead_letters):
        await until(lambda admin, name=topic: admin.create_partitions([NewPartitions(name, 3)]), one.bootstrap)
    wider = await one.start_worker().ready()
    await one.feed(60, rng=rng, labels=0)

    async def all_counted():
        predictions = await read_all(one.topics.predictions)
        outcomes = len(predictions) + len(await read_all(one.topics.dead_letters))
        _, answer = await wider.get("/api/performance")
        assert wider.process.poll() is None, wider.tail()
        return outcomes == 80 and answer["total"].get("predicted") == len(predictions)

    await eventually(all_counted, deadline_s=30, every_s=0.3)
    assert {record.partition for record in await read_all(one.topics.predictions)} == {0, 1, 2}


@pytest.mark.parametrize("which", [pytest.param("features", marks=pytest.mark.long), "predictions"])
async def test_a_topic_that_is_deleted_ends_the_worker(which, pipeline, rng):
    """An input or an output that is gone is named."""
    one, worker = await running(pipeline, rng)
    topic = getattr(one.topics, which)
    await until(lambda admin: admin.delete_topics([topic]), one.bootstrap)
    feeding = asyncio.ensure_future(one.feed(20, rng=rng, labels=0)) if which == "predictions" else None
    assert await worker.wait(60) == 1, worker.tail()
    assert f"topic {topic} is gone" in last_word(worker)
    if feeding is not None:
        await feeding


async def test_a_changelog_that_is_deleted_ends_the_worker_and_the_next_one_counts_again(pipeline, rng, eventually):
    """It says that the counts are gone and from where they are counted again, and what is missing for good.

    Broken by watching the topics of the contract alone: the worker hangs in its next commit, and the next is silent.
    """
    one, worker = await running(pipeline, rng, 100)
    changelog = f"app-{one.name}-{one.name}-tallies-changelog"

    async def counted(worker, at_least):
        _, answer = await worker.get("/api/performance")
        return answer["total"].get("predicted", 0) >= at_least and answer["total"]["predicted"]

    before = await eventually(lambda: counted(worker, 90))
    await until(lambda admin: admin.delete_topics([changelog]), one.bootstrap)
    assert await worker.wait(60) == 1, worker.tail()
    assert f"topic {changelog} is gone" in last_word(worker)
    await remove_records(one, one.topics.predictions, 10)

    second = await one.start_worker().ready()
    lost = [line for line in second.log.read_text().splitlines() if "gone with their changelog" in line]
    assert len(lost) == 1, second.tail()
    assert f"topic={one.topics.predictions}" in lost[0]
    assert "from_offset=10 " in lost[0] + " "

    async def recounted():
        _, status = await second.get("/api/status")
        told = status["pipelines"][one.name]["feedback"]["0"]
        return told["positions"]["predictions"] >= before and told["remembered"] == before - 10

    await eventually(recounted)


async def test_records_that_retention_took_are_counted_and_told(pipeline, rng, read_all, eventually):
    """While no worker ran and while one held them back: it goes on from the earliest, and says what is missing.

    Kafka's client may have fetched what is held back before it is removed: then nothing is missing, nothing is told.
    """
    one = pipeline(partitions=1)
    await one.create()
    worker = one.start_worker()
    await one.feed(100, rng=rng, labels=0)
    await eventually(lambda: _held(worker, one), deadline_s=40)
    await remove_records(one, one.topics.features, 60)
    await one.publish()
    await worker.ready()

    async def first_outcome():
        first = 60 if await _skipped(worker, one, 60) else 0
        return await _outcomes(one, read_all, set(range(first, 100))) and (first,)

    (first,) = await eventually(first_outcome, deadline_s=20)
    assert ("records were removed before they were read" in worker.log.read_text()) == (first > 0)
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0

    await one.feed(100, rng=rng, labels=0)
    await remove_records(one, one.topics.features, 150)
    second = await one.start_worker().ready()
    await eventually(lambda: _skipped(second, one, 50), deadline_s=20)
    await eventually(lambda: _outcomes(one, read_all, {*range(first, 100), *range(150, 200)}), deadline_s=20)


async def test_a_topic_that_lost_its_end_is_not_read_from_the_start(pipeline, rng, eventually, read_all):
    """Kafka's clients would go back to the beginning in silence: the worker says so and ends."""
    one, worker = await running(pipeline, rng)
    await eventually(lambda: _outcomes(one, read_all, set(range(20))), deadline_s=20)
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0
    further = [ConsumerGroupTopicPartitions(f"app-{one.name}", [TopicPartition(one.topics.features, 0, 1000)])]
    await until(lambda admin: admin.alter_consumer_group_offsets(further), one.bootstrap)
    second = one.start_worker()
    assert await second.wait(40) == 1
    assert f"{one.topics.features}-0 ends at offset 20, but was read up to 1000" in last_word(second)


async def test_reading_events_from_the_start_again_is_told(pipeline, rng, eventually, read_all):
    """A topic made anew has no committed offset, nor has a new group: where there are predictions it is no secret."""
    one, worker = await running(pipeline, rng)
    await eventually(lambda: _outcomes(one, read_all, set(range(20))), deadline_s=20)
    assert "read from the start" not in worker.log.read_text()
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0
    second = await one.start_worker(app_id=f"other-{one.name}").ready()
    assert "events are read from the start, although there are predictions" in second.log.read_text()


async def _held(worker, one):
    """Whether the worker, which is not ready, has records in hand that no model is known for."""
    listens = re.search(r"url=(\S+)", worker.log.read_text())
    if listens is None:
        return False
    with await asyncio.to_thread(urllib.request.urlopen, f"{listens[1]}/api/status", timeout=10) as answer:
        return json.load(answer)["pipelines"][one.name]["held_back"]


async def _skipped(worker, one, n):
    _, text = await worker.get("/metrics")
    wanted = f'faust_onnx_records_skipped_total{{pipeline="{one.name}",topic="{one.topics.features}"}} {n}.0'
    return wanted in text


async def _outcomes(one, read_all, offsets):
    found = set()
    for topic in (one.topics.predictions, one.topics.dead_letters):
        found |= {int(dict(record.headers)["source-offset"]) for record in await read_all(topic)}
    return found == offsets
