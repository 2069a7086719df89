"""The model reader when its broker goes away, comes back, or is no longer what it was."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.records import Activation, topics_of
from app.registry import ModelCache, ModelReader, activate_version, model_topic_configs, publish, read_models
from app.registry.chunks import chunk_key, digest_of

pytestmark = [pytest.mark.broker, pytest.mark.fault]

TOPICS = topics_of("fraud")


async def create(bootstrap, *, models=None):
    """Create the model topics of the pipeline, with further settings for `models` and `model-bytes`."""
    configs = model_topic_configs()
    wanted = [
        (TOPICS.models, {**configs.models, **(models or {})}),
        (TOPICS.model_bytes, {**configs.model_bytes, **(models or {})}),
        (TOPICS.model_events, configs.model_events),
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config) for name, config in wanted])
    finally:
        await admin.close()


async def published(bootstrap, model, **options):
    """Publish and activate *model* now."""
    return await publish(
        bootstrap, TOPICS, "fraud", model, author="ann", now_s=time.time(), **{"activate": True, **options}
    )


@pytest.fixture
async def start_reader(tmp_path):
    """Starts readers whose scorer is the model's bytes; stops them when the test ends."""
    readers = []

    async def start(bootstrap, cache="cache"):
        events = []
        reader = ModelReader(
            bootstrap,
            TOPICS,
            "fraud",
            lambda data, _: data,
            ModelCache(tmp_path / cache),
            worker="w",
            report=events.append,
            clock=time.time,
        )
        reader.events = events
        await reader.start()
        readers.append(reader)
        return reader

    yield start
    for reader in readers:
        await reader.stop()


def stale(reader):
    """Whether *reader* would hold back a record of this moment because it cannot know what is in force."""
    return "was last seen" in (reader.problem or "")


async def test_a_reader_that_is_cut_off_says_so_and_recovers(start_kafka, start_reader, eventually):
    """With the broker stopped dead, records of now are soon held back, those of before are not; then it goes on."""
    kafka = start_kafka()
    await create(kafka.bootstrap)
    await published(kafka.bootstrap, b"one")
    reader = await start_reader(kafka.bootstrap)
    await eventually(lambda: reader.problem is None)
    cut_off_s = time.time()
    kafka.pause()
    await eventually(lambda: stale(reader), 10)
    assert time.time() - cut_off_s < 4
    before_s = reader.fresh_as_of_s
    assert reader.needs(before_s, before_s, now_s=time.time()) is None
    assert reader.scorer_for(before_s) == b"one"
    kafka.resume()
    await eventually(lambda: reader.problem is None, 30)
    second = (await published(kafka.bootstrap, b"two")).activation
    at_s = second.effective_from_s
    await eventually(lambda: reader.needs(at_s, at_s, now_s=time.time()) is None)
    assert reader.scorer_for(at_s) == b"two"
    assert reader.failed is None


async def test_a_reader_outlives_its_broker(start_kafka, start_reader, eventually):
    """After kill -9 and a new start of the broker the reader takes what is published then, without a restart."""
    kafka = start_kafka()
    await create(kafka.bootstrap)
    await published(kafka.bootstrap, b"one")
    reader = await start_reader(kafka.bootstrap)
    await eventually(lambda: reader.problem is None)
    await asyncio.to_thread(kafka.kill)
    await eventually(lambda: stale(reader), 15)
    await asyncio.to_thread(kafka.restart)
    await eventually(lambda: reader.problem is None, 60)
    at_s = (await published(kafka.bootstrap, b"two")).activation.effective_from_s
    await eventually(lambda: reader.needs(at_s, at_s, now_s=time.time()) is None)
    assert reader.scorer_for(at_s) == b"two"
    assert [event.version for event in reader.events if event.event == "accepted"] == [1, 2]


async def test_a_topic_that_was_deleted_and_made_anew_ends_the_reader(start_kafka, start_reader, eventually):
    """What was in force is gone from the topic: nothing may be scored on what is remembered of another one."""
    kafka = start_kafka()
    await create(kafka.bootstrap)
    await published(kafka.bootstrap, b"one")
    reader = await start_reader(kafka.bootstrap)
    await eventually(lambda: reader.problem is None)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([TOPICS.models, TOPICS.model_bytes, TOPICS.model_events])
    finally:
        await admin.close()
    await create(kafka.bootstrap)
    await eventually(lambda: reader.failed, 40)
    assert "recreated" in str(reader.failed)
    assert "has ended" in reader.problem


#   models:       release/1 activation/1 release/2 activation/2 | deleted: release/1 activation/1
#   model-bytes:  1/0                    2/0                    | deleted: 1/0
async def test_a_late_starter_needs_nothing_of_what_was_compacted_away(start_kafka, start_reader, eventually):
    """After Kafka has really thrown the old release away, an early and a late reader serve the same from then on."""
    kafka = start_kafka(properties={"log.cleaner.backoff.ms": "100"})
    eager = {
        "min.compaction.lag.ms": "0",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "0",
        "segment.ms": "100",
    }
    await create(kafka.bootstrap, models=eager)
    await published(kafka.bootstrap, b"one")
    early = await start_reader(kafka.bootstrap)
    at_s = (await published(kafka.bootstrap, b"two")).activation.effective_from_s
    deleted = [
        (TOPICS.model_bytes, chunk_key(digest_of(b"one"), 0)),
        (TOPICS.models, b"release/1"),
        (TOPICS.models, b"activation/1"),
    ]
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:

        async def roll(number):
            # A segment is compacted only when a later record has closed it.
            for topic in (TOPICS.models, TOPICS.model_bytes):
                await producer.send_and_wait(topic, key=b"filler/%d" % number, value=None, partition=0)

        for topic, key in deleted:
            await producer.send_and_wait(topic, key=key, value=None, partition=0)

        async def forgotten():
            await roll(0)
            timeline = await read_models(kafka.bootstrap, TOPICS, "fraud")
            return list(timeline.releases) == [2]

        await eventually(forgotten, 60, 0.3)
    late = await start_reader(kafka.bootstrap, "another cache")
    for reader in (early, late):
        await eventually(lambda reader=reader: reader.needs(at_s, at_s, now_s=time.time()) is None)
        assert reader.scorer_for(at_s) == b"two"
    await eventually(lambda: early.problem is None)
    assert early.scorer_for(at_s - 0.001) == b"one"
    third = await activate_version(kafka.bootstrap, TOPICS, "fraud", version=2, author="ann", now_s=time.time())
    assert third.sequence == 3


async def test_a_publisher_that_dies_before_its_commit_holds_readers_until_kafka_gives_it_up(
    start_kafka, start_reader, eventually
):
    """An activation of a dead publisher never counts, and scoring goes on once its transaction has timed out."""
    kafka = start_kafka()
    await create(kafka.bootstrap)
    await published(kafka.bootstrap, b"one")
    await published(kafka.bootstrap, b"two", activate=False)
    reader = await start_reader(kafka.bootstrap)
    await eventually(lambda: reader.problem is None)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id="dies", transaction_timeout_ms=4000)
    await producer.start()
    await producer.begin_transaction()
    at_s = time.time() + 2.5
    activation = Activation(sequence=2, version=2, effective_from_s=at_s, author="ann")
    await producer.send_and_wait(TOPICS.models, key=b"activation/2", value=msgspec.json.encode(activation))
    await producer.client.close()  # as if it had been killed: no commit, no abort
    await eventually(lambda: stale(reader))
    await eventually(lambda: reader.needs(at_s, at_s, now_s=time.time()) is None, 30)
    assert reader.scorer_for(at_s) == b"one"
    await producer.stop()
