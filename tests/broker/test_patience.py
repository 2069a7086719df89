"""Kafka's clients on the worker's event loop, when a connection is cut under them."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError
from aiokafka.protocol.metadata import MetadataRequest

from app.transport import acknowledged, live, patience
from tests.conftest import _create_topics, _read_all
from tests.kafka_frames import Api

pytestmark = pytest.mark.broker


def test_a_request_into_a_reset_connection_is_a_lost_connection(bootstrap, monkeypatch):
    """Between the reset and its news the client is told that the connection broke, which it asks again after.

    Broken by aiokafka's own `send`: uvloop's RuntimeError comes through, and a producer never recovers from it.
    """
    monkeypatch.setattr(AIOKafkaConnection, "send", patience._send_or_lose)

    async def cut_and_ask() -> list[BaseException | None]:
        client = AIOKafkaClient(bootstrap_servers=bootstrap)
        await client.bootstrap()
        try:
            connection = await client._get_conn(client.get_random_node())
            connection._writer.transport.abort()
            answers = [await asyncio.gather(_ask(connection), return_exceptions=True) for _ in range(5)]
        finally:
            await client.close()
        return [answer for (answer,) in answers]

    async def _ask(connection: AIOKafkaConnection) -> None:
        await connection.send(MetadataRequest([]))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(cut_and_ask())

    assert [type(answer) for answer in answers] == [KafkaConnectionError] * 5


async def test_a_connection_that_fell_silent_is_replaced(
    new_app, running, unique, proxied, create_topics, produce, eventually, monkeypatch
):
    """A worker whose connections died without a word reads on over new ones, long before Faust's one time-out for all.

    Broken by waiting for answers as long as for a rebalance: fetches and heartbeats wait for a minute and a half.
    """
    monkeypatch.setattr(AIOKafkaConnection, "send", patience._send_or_lose)
    monkeypatch.setattr(patience, "ANSWER_WITHIN_S", 2.0)
    monkeypatch.setattr(patience, "HEARTBEAT_WITHIN_S", 2.0)
    kafka, proxy = proxied
    topic, seen = unique("in"), set()
    await create_topics.func(kafka.bootstrap, {topic: 1})
    app = new_app(broker=f"kafka://{proxy.address}", broker_request_timeout=90.0)

    @app.agent(app.batch_topic(topic))
    async def read(batches):
        async for batch in live(batches):
            seen.update(record.value for record in batch.records)
            batch.done()

    async with running(app):
        await produce.func(kafka.bootstrap, topic, [{"value": b"before", "partition": 0}])
        await eventually(lambda: seen == {b"before"})
        proxy.black_hole(Api.FETCH, Api.HEARTBEAT, count=10**9)
        await asyncio.gather(proxy.seen(Api.FETCH), proxy.seen(Api.HEARTBEAT))
        proxy.heal()  # those connections stay silent
        await produce.func(kafka.bootstrap, topic, [{"value": b"after", "partition": 0}])
        await eventually(lambda: seen == {b"before", b"after"})


async def test_requests_that_run_out_of_time_together_are_all_told_so(proxied, monkeypatch):
    """The second of two is a request out of time as well, and no fault of the program's.

    Broken by aiokafka's own handling: the first has closed the connection, and the second looks for it in vain.
    """
    monkeypatch.setattr(AIOKafkaConnection, "send", patience._send_or_lose)
    monkeypatch.setattr(patience, "ANSWER_WITHIN_S", 0.2)
    _, proxy = proxied
    client = AIOKafkaClient(bootstrap_servers=proxy.address)
    await client.bootstrap()
    try:
        node = client.get_random_node()
        await client.ready(node)
        proxy.black_hole(Api.METADATA, count=10**9)
        asked = [client.send(node, MetadataRequest([])) for _ in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        proxy.heal()
        await client.close()
    assert all(isinstance(answer, KafkaError) for answer in answers), answers
    assert any(isinstance(answer, RequestTimedOutError) for answer in answers), answers


async def test_records_wait_for_kafka_longer_than_a_request_may_take(start_kafka, new_app, running, rows):
    """Kafka is away for longer than the producer's time-out: what is to be written then waits, and is written once.

    Broken by aiokafka's own `send_batch`, which gives up a batch for which there was no room for so long.
    """
    kafka = await asyncio.to_thread(start_kafka)
    await _create_topics(kafka.bootstrap, {"in": 1, "out": 1})
    app = new_app("patient", broker=f"kafka://{kafka.bootstrap}", producer_request_timeout=1.0)

    @app.agent(app.batch_topic("in"))
    async def idle(batches):
        async for _ in batches:
            pass

    async with running(app):
        await acknowledged(await app.producer.publish("out", 0, rows([0])))
        await asyncio.to_thread(kafka.stop)
        writing = asyncio.ensure_future(write_each(app, rows(range(1, 6))))
        await asyncio.sleep(4.0)  # four times what a request may take
        assert not writing.done()
        await asyncio.to_thread(kafka.restart)
        await asyncio.wait_for(writing, 60)

    read = await _read_all(kafka.bootstrap, "out")
    assert [int(record.value) for record in read] == list(range(6))


async def write_each(app, records):
    """Write *records* one by one, so that each has to wait for room."""
    sent = []
    for record in records:
        sent += await app.producer.publish("out", 0, [record])
    await acknowledged(sent)


@pytest.fixture(name="impatient")
def _impatient(monkeypatch):
    """Silence of a second is long, whatever a client would wait by itself."""
    monkeypatch.setattr(AIOKafkaConnection, "send", patience._send_or_lose)
    monkeypatch.setattr(patience, "ANSWER_WITHIN_S", 1.0)


@pytest.mark.usefixtures("impatient")
async def test_a_slow_line_carries_a_large_request(proxied, unique):
    """Records that take longer than an answer may are written, once: the time that bytes take is theirs.

    Broken by one time for requests of every size: the connection is closed, and the same bytes are sent again for ever.
    """
    kafka, proxy = proxied
    topic = unique("out")
    await _create_topics(kafka.bootstrap, {topic: 4})
    async with AIOKafkaProducer(
        bootstrap_servers=proxy.address, request_timeout_ms=1000, linger_ms=50, enable_idempotence=True
    ) as producer:
        proxy.bytes_per_s = 100_000
        async with asyncio.timeout(30):
            sent = [await producer.send(topic, b"%d" % p + b" " * 100_000, partition=p) for p in range(4)]
            # What waits for room or for its turn has no time-out of its own here.
            await asyncio.gather(*sent)
    proxy.heal()

    assert [int(record.value) for record in await _read_all(kafka.bootstrap, topic)] == [0, 1, 2, 3]


@pytest.mark.usefixtures("impatient")
async def test_a_slow_line_carries_a_large_answer(proxied, unique, produce):
    """What is fetched may take long, as long as something of it comes in.

    Broken by one time for answers of every size: the fetch is asked for again and again, and never comes.
    """
    kafka, proxy = proxied
    topic = unique("in")
    await _create_topics(kafka.bootstrap, {topic: 1})
    await produce.func(kafka.bootstrap, topic, [b"x" * 400_000])
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=proxy.address, auto_offset_reset="earliest")
    async with consumer:
        proxy.bytes_per_s = 100_000
        record = await asyncio.wait_for(consumer.getone(), 20)
        proxy.heal()

    assert len(record.value) == 400_000
