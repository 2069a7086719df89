"""Pipelines joined by id, in whole workers on a real broker: labels with any key, partitioner and partition count."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer

from app.errors import ConfigurationError
from app.topology.topics import ensure_topics

pytestmark = pytest.mark.broker


async def counted(pipeline, *, n_features, read_all, eventually):
    """Wait until all is scored, on the ledger topic and counted; the sums over the ledger records."""
    topics = pipeline.topics

    async def all_scored():
        return len(await pipeline.outcomes(read_all)) >= n_features

    async def all_rekeyed():
        sources = [record for topic in (topics.predictions, topics.labels) for record in await read_all(topic)]
        done = [place_of(record) for record in await read_all(topics.ledger) if record.headers]
        done += [place_of(record) for record in await read_all(topics.dead_letters)]
        return {(r.topic, r.partition, r.offset) for r in sources} <= set(done)

    async def all_counted():
        ends = {record.partition: record.offset + 1 for record in await read_all(topics.ledger)}
        told = await pipeline.ledgers(read_all)
        return all(p in told and told[p]["positions"]["labels"] >= end for p, end in ends.items())

    for condition in (all_scored, all_rekeyed, all_counted):
        await eventually(condition, deadline_s=60, every_s=0.3)
    sums = Counter()
    for told in (await pipeline.ledgers(read_all)).values():
        sums.update({name: n for name, n in told.items() if isinstance(n, int) and name != "partition"})
    return sums


def place_of(record):
    """The coordinates in a record's headers."""
    headers = dict(record.headers)
    return headers["source-topic"].decode(), int(headers["source-partition"]), int(headers["source-offset"])


async def test_labels_without_a_key_meet_their_predictions(pipeline, rng, read_all, eventually):
    """Null-keyed labels, scattered over their partitions, are joined by id; every record is keyed anew exactly once."""
    one = pipeline(join="by-id")
    await one.create()
    await one.publish()
    worker = await one.start_worker().ready()
    await one.feed(1500, rng=rng)
    sums = await counted(one, n_features=1500, read_all=read_all, eventually=eventually)
    text = await one.verify("--no-faults")

    assert "rekeyed" in text
    assert sums["joined"] > 700
    assert sums["orphan"] + sums["too_late"] == 0
    _, performance = await worker.get(f"/api/performance?pipeline={one.name}")
    assert performance["total"]["n"] == performance["labels"]["joined"] == sums["joined"]
    assert {record.key for record in await read_all(one.topics.labels)} == {None}
    _, status = await worker.get("/api/status")
    assert one.topics.ledger in status["lag"]
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
async def test_labels_of_another_client_and_partition_count_meet_their_predictions(
    delivery, pipeline, bootstrap, create_topics, read_all, eventually, rng
):
    """confluent-kafka's default partitioner; five partitions of labels, three of the ledger, two of features."""
    one = pipeline(join="by-id")
    await create_topics({one.topics.labels: 5, one.topics.ledger: 3, one.topics.features: 2})
    await one.create()
    await one.publish()
    for worker in [one.start_worker(delivery=delivery) for _ in range(2)]:
        await worker.ready()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})

    async def send_label(value, key):
        producer.produce(one.topics.labels, value, key=key)
        producer.poll(0)
        return asyncio.sleep(0)

    await one.feed(1500, rng=rng, send_label=send_label)
    producer.produce(one.topics.labels, b"nonsense", partition=4)
    assert await asyncio.to_thread(producer.flush, 30) == 0
    sums = await counted(one, n_features=1500, read_all=read_all, eventually=eventually)
    await one.verify("--no-faults")

    labels = await read_all(one.topics.labels)
    assert any((murmur2(record.key) & 0x7FFFFFFF) % 5 != record.partition for record in labels if record.key)
    assert sums["joined"] > 700
    assert sums["orphan"] == 0
    letters = [record for record in await read_all(one.topics.dead_letters) if place_of(record)[0] == one.topics.labels]
    assert [(letter.partition, letter.value) for letter in letters] == [(4, b"nonsense")]


@pytest.mark.parametrize("delivery", [pytest.param("at_least_once", marks=pytest.mark.long), "exactly_once"])
async def test_a_killed_worker_keys_and_counts_each_record_once(delivery, pipeline, read_all, eventually):
    """SIGKILL under load, twice: each good record is on the ledger topic once, and every count is exact."""
    rng = random.Random(delivery)
    one = pipeline(join="by-id")
    await one.create()
    await one.publish()
    worker = await one.start_worker(delivery=delivery).ready()
    feeding = asyncio.ensure_future(one.feed(2500, rng=rng, per_s=500))
    for n in range(2):
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        worker.signal(signal.SIGKILL)
        await worker.wait()
        # Once with the local state of before, once without any.
        worker = one.start_worker(delivery=delivery, **({"state_dir": one.folder / "state" / "w0"} if n else {}))
        await asyncio.sleep(rng.uniform(0.5, 2.0))
    await feeding
    await counted(one, n_features=2500, read_all=read_all, eventually=eventually)
    await one.verify()


async def test_what_is_read_again_is_not_keyed_again(pipeline, rng, read_all, eventually):
    """A worker that is stopped under load loses its partitions and wakes up again: still one copy of each record."""
    one = pipeline(join="by-id", partitions=4)
    await one.create()
    await one.publish()
    first = await one.start_worker().ready()
    feeding = asyncio.ensure_future(one.feed(6000, rng=rng, per_s=400))
    second = await one.start_worker().ready()

    async def shares(worker, wanted):
        _, status = await worker.get("/api/status")
        return len(status["pipelines"][one.name]["assigned"]) == wanted

    await eventually(lambda: shares(second, 2))
    await asyncio.sleep(1.3)
    second.signal(signal.SIGSTOP)
    await eventually(lambda: shares(first, 4), deadline_s=30)
    second.signal(signal.SIGCONT)
    await feeding
    await counted(one, n_features=6000, read_all=read_all, eventually=eventually)
    places = [place_of(record) for record in await read_all(one.topics.ledger)]
    await one.verify()

    assert len(places) == len(set(places))


async def test_a_stranger_on_the_ledger_topic_stops_nothing(pipeline, produce, rng, read_all, eventually):
    """What is no small form becomes a dead letter of the ledger topic, and all else is counted."""
    one = pipeline(join="by-id")
    await one.create()
    await one.publish()
    await one.start_worker().ready()
    await produce(one.topics.ledger, [{"value": b"nonsense", "partition": 1}])
    await one.feed(300, rng=rng)
    sums = await counted(one, n_features=300, read_all=read_all, eventually=eventually)

    letters = [place_of(record) for record in await read_all(one.topics.dead_letters)]
    assert (one.topics.ledger, 1, 0) in letters
    assert sums["joined"] > 100


async def test_partition_counts_are_free_where_nothing_hangs_on_them(pipeline, create_topics, bootstrap):
    """Labels and ledger keep the counts that they have; dead letters get room for all, or too few end the start."""
    one, narrow = pipeline(join="by-id"), pipeline(join="by-id")
    await create_topics({one.topics.labels: 5, one.topics.ledger: 3})
    await create_topics({narrow.topics.labels: 5, narrow.topics.dead_letters: 2})
    made = {state.topic: state.partitions for state in await ensure_topics(bootstrap, one.contract, partitions=2)}
    with pytest.raises(ConfigurationError, match=r"dead-letters has 2 partitions, but needs at least 5"):
        await ensure_topics(bootstrap, narrow.contract, partitions=2)

    topics = one.topics
    events = (topics.features, topics.predictions)
    assert {topic: made[topic] for topic in (*events, topics.labels, topics.ledger, topics.dead_letters)} == {
        **dict.fromkeys(events, 2),
        topics.labels: 5,
        topics.ledger: 3,
        topics.dead_letters: 5,
    }


async def test_a_keyed_pipeline_has_no_ledger_topic(pipeline, bootstrap):
    """It is made for those that need it."""
    one = pipeline()

    assert one.topics.ledger not in [
        state.topic for state in await ensure_topics(bootstrap, one.contract, partitions=1)
    ]


async def test_positions_are_offsets_of_the_ledger_topic(pipeline, bootstrap, rng, read_all, eventually):
    """`performance` names for both kinds the next offset of the ledger topic, which is what is committed too."""
    one = pipeline(join="by-id")
    await one.create()
    await one.publish()
    await one.start_worker().ready()
    await one.feed(300, rng=rng)
    await counted(one, n_features=300, read_all=read_all, eventually=eventually)

    newest = {p: told["positions"] for p, told in (await one.ledgers(read_all)).items()}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=f"app-{one.name}", enable_auto_commit=False)
    async with consumer:
        committed = {p: await consumer.committed(TopicPartition(one.topics.ledger, p)) for p in newest}
    assert newest == {p: {"predictions": offset, "labels": offset} for p, offset in committed.items()}
