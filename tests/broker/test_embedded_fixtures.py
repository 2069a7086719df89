"""The fixtures that all broker tests stand on do what they say."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

pytestmark = pytest.mark.broker


async def test_what_was_produced_is_read_back_in_order(create_topics, produce, read_all, unique):
    """Values, keys, timestamps and headers come back as they were sent, partition by partition."""
    topic = unique()
    await create_topics({topic: 2})
    await produce(topic, [{"value": b"%d" % i, "partition": i % 2} for i in range(100)])
    await produce(topic, [{"key": b"k", "value": None, "partition": 1, "timestamp_ms": 5, "headers": [("h", b"v")]}])
    records = await read_all(topic)
    assert [int(r.value) for r in records[:-1]] == [*range(0, 100, 2), *range(1, 100, 2)]
    last = records[-1]
    assert (last.key, last.value, last.timestamp, last.headers) == (b"k", None, 5, (("h", b"v"),))


async def test_empty_topic_reads_as_nothing(create_topics, read_all, unique):
    """Reading a topic without records ends at once."""
    topic = unique()
    await create_topics({topic: (3, {"cleanup.policy": "compact"})})
    assert await read_all(topic) == []


async def test_only_what_was_committed_is_read_unless_asked_otherwise(
    create_topics, produce, read_all, unique, bootstrap
):
    """Aborted records are skipped, markers end no reading, and an open transaction bounds it."""
    topic = unique()
    await create_topics({topic: 1})
    await produce(topic, [b"1", b"2"], transactional_id=unique("t"))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=unique("t")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        await produce(topic, [b"3"])
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open")
        await produce(topic, [b"after"])
        assert [r.value for r in await read_all(topic)] == [b"1", b"2", b"3"]
        everything = [r.value for r in await read_all(topic, isolation="read_uncommitted")]
        assert everything == [b"1", b"2", b"aborted", b"3", b"open", b"after"]
        await producer.commit_transaction()
    assert [r.value for r in await read_all(topic)] == [b"1", b"2", b"3", b"open", b"after"]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_broker_takes_every_codec(codec, create_topics, produce, read_all, unique):
    """The locked jars hold the native code of every compression that Kafka has."""
    topic = unique()
    # Stored in another codec than it was sent in: the broker has to unpack and pack it itself.
    await create_topics({topic: (1, {"compression.type": "gzip" if codec != "gzip" else "zstd"})})
    await produce(topic, [b"x" * 1000] * 50, compression_type=codec)
    assert [r.value for r in await read_all(topic)] == [b"x" * 1000] * 50


async def test_eventually_fails_with_its_condition(eventually, unique):
    """A condition that never holds is named in the failure."""
    with pytest.raises(pytest.fail.Exception, match=r"not within 0.1 s.*never"):
        await eventually(lambda: unique == "never", deadline_s=0.1)
    assert await eventually(lambda: asyncio.sleep(0, result=3)) == 3
