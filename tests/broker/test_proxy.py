"""The proxy of the fault suite does what it says: to real requests of real clients."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)

from tests.kafka_frames import transactional_id
from tests.proxy import Api

pytestmark = pytest.mark.broker

BUSY = 51
REQUESTS = {
    Api.INIT_PRODUCER_ID: InitProducerIdRequest("t", 60_000),
    Api.ADD_PARTITIONS_TO_TXN: AddPartitionsToTxnRequest("t", 1, 0, [("a", [0, 1]), ("b", [0])]),
    Api.ADD_OFFSETS_TO_TXN: AddOffsetsToTxnRequest("t", 1, 0, "g"),
    Api.TXN_OFFSET_COMMIT: TxnOffsetCommitRequest("t", "g", 1, 0, [("a", [(0, 5, ""), (1, 6, "")])]),
    Api.END_TXN: EndTxnRequest("t", 1, 0, True),
    Api.PRODUCE: ProduceRequest(None, -1, 1000, [("a", [(0, b""), (1, b"")])]),
    Api.HEARTBEAT: HeartbeatRequest("g", 1, "m"),
    Api.JOIN_GROUP: JoinGroupRequest("g", 6000, 6000, "m", None, "consumer", [("range", b"")]),
}


def codes(answer):
    """All error codes in an answer."""
    if hasattr(answer, "error_code"):
        return [answer.error_code]
    topics = answer.errors if hasattr(answer, "errors") else answer.topics
    return [part[1] for _, parts in topics for part in parts]


async def test_every_request_of_a_transaction_can_be_refused(proxied):
    """The client understands the answer, for each partition that it named; the broker has seen nothing."""
    _, proxy = proxied
    client = AIOKafkaClient(bootstrap_servers=proxy.address)
    await client.bootstrap()
    found = {}
    try:
        for api, request in REQUESTS.items():
            proxy.inject(api, code=BUSY)
            found[api] = codes(await client.send(client.get_random_node(), request))
    finally:
        await client.close()

    assert {api: set(each) for api, each in found.items()} == {api: {BUSY} for api in REQUESTS}
    assert [len(each) for each in found.values()] == [1, 3, 1, 2, 1, 2, 1, 1]


async def test_requests_can_be_chosen_by_their_lane(proxied):
    """A rule that asks whose transaction a request is of passes over the others, and tells which one it met."""
    _, proxy = proxied
    client = AIOKafkaClient(bootstrap_servers=proxy.address)
    await client.bootstrap()
    rule = proxy.inject(Api.END_TXN, code=BUSY, where=lambda frame: transactional_id(frame) == "b")
    seen = asyncio.ensure_future(proxy.seen(Api.END_TXN, where=lambda frame: transactional_id(frame) == "b"))
    try:
        node = client.get_random_node()
        found = [codes(await client.send(node, EndTxnRequest(name, 1, 0, True))) for name in "ab"]
        await asyncio.wait_for(seen, 5)
    finally:
        await client.close()

    assert [each == [BUSY] for each in found] == [False, True]
    assert transactional_id(rule.frame) == "b"


async def test_a_late_end_commits_what_another_transaction_aborts(proxied, unique, create_topics, read_all):
    """KAFKA-17754, as a stock client has it: why lanes take a new epoch after every lost answer."""
    kafka, proxy = proxied
    topic = unique("t")
    await create_topics.func(kafka.bootstrap, {topic: 1})
    producer = AIOKafkaProducer(bootstrap_servers=proxy.address, transactional_id=unique("id"), retry_backoff_ms=10)
    await producer.start()
    try:
        late = proxy.hold(Api.END_TXN)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"committed")
        ending = asyncio.ensure_future(producer.commit_transaction())
        await asyncio.wait_for(late.was_met.wait(), 10)
        late.cut_clients()
        await asyncio.wait_for(ending, 20)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        late.release()
        await asyncio.wait_for(late.holding[0].closed.wait(), 10)
        with pytest.raises(KafkaError):
            await producer.abort_transaction()
    finally:
        await producer.stop()

    assert [record.value for record in await read_all.func(kafka.bootstrap, topic)] == [b"committed", b"aborted"]


async def test_the_line_can_be_slow(proxied, unique):
    """Latency goes both ways, and a limited line takes its time for many bytes."""
    kafka, proxy = proxied
    client = AIOKafkaClient(bootstrap_servers=proxy.address)
    await client.bootstrap()
    try:
        await client.send(client.get_random_node(), REQUESTS[Api.END_TXN])
        proxy.latency_s = 0.2
        began_s = time.perf_counter()
        await client.send(client.get_random_node(), REQUESTS[Api.END_TXN])
        slow_s = time.perf_counter() - began_s
        proxy.heal()
        proxy.bytes_per_s = 100_000.0
        began_s = time.perf_counter()
        large = ProduceRequest(None, -1, 1000, [(unique("nobody"), [(0, b"x" * 50_000)])])
        await client.send(client.get_random_node(), large)
        narrow_s = time.perf_counter() - began_s
    finally:
        await client.close()

    assert kafka.bootstrap != proxy.address
    assert 0.4 <= slow_s < 5
    assert 0.5 <= narrow_s < 5
