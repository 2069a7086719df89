"""Lanes: all of a commit or nothing, once, and from one holder at a time, whatever the network does to the answers."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from app.errors import BrokerError
from app.records import OutRecord
from app.transport import Fenced, Output, Transactions
from tests.conftest import _create_topics, _read_all
from tests.proxy import Api, Proxy, free_port

pytestmark = pytest.mark.broker

IN_A_TRANSACTION = (
    Api.ADD_PARTITIONS_TO_TXN,
    Api.ADD_OFFSETS_TO_TXN,
    Api.PRODUCE,
    Api.TXN_OFFSET_COMMIT,
    Api.END_TXN,
)


def records(*numbers, size=0):
    """Numbered records, of *size* bytes more than the number takes."""
    now_ms = int(time.time() * 1000)
    return [OutRecord(b"k", b"%d" % n + b" " * size, now_ms, [("n", b"%d" % n)]) for n in numbers]


def numbers(read):
    """The numbers of what was read, in its order."""
    return [int(record.value) for record in read]


@pytest.fixture
async def new_transactions(bootstrap, unique):
    """Makes the transactions of one worker more of the same group."""
    group, made = unique("group"), []

    async def make(address=bootstrap):
        transactions = Transactions(address, group)
        await transactions.start()
        made.append(transactions)
        return transactions

    make.group = group
    yield make
    for transactions in made:
        await transactions.stop()


async def committed_offset(bootstrap, group, tp):
    """What the group has committed."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    async with consumer:
        return await consumer.committed(TopicPartition(*tp))


async def test_records_and_offsets_are_committed_together(bootstrap, new_transactions, unique, create_topics, read_all):
    """What `commit` was given is readable in its order, in all partitions, and the offsets are the group's."""
    source, out = unique("in"), unique("out")
    await create_topics({source: 1, out: 2})
    transactions = await new_transactions()
    lane = await transactions.open(unique("lane"), [TP(source, 0)])

    assert lane.committed == {TP(source, 0): None}

    await lane.commit([Output(out, 0, records(1, 2)), Output(out, 1, records(3))], {TP(source, 0): 7})
    await lane.commit([Output(out, 0, records(4))], {TP(source, 0): 9})
    await lane.commit([Output(out, 0, [])], {})

    read = await read_all(out)
    assert [(record.partition, int(record.value)) for record in read] == [(0, 1), (0, 2), (0, 4), (1, 3)]
    assert read[0].headers == (("n", b"1"),)
    assert lane.committed == {TP(source, 0): 9}
    assert await committed_offset(bootstrap, new_transactions.group, (source, 0)) == 9


async def test_more_than_a_record_batch_holds_is_committed_in_order(new_transactions, unique, create_topics, read_all):
    """Five megabytes of records in one commit go in several batches, in their order."""
    out = unique("out")
    await create_topics({out: 2})
    lane = await (await new_transactions()).open(unique("lane"), [])
    await lane.commit([Output(out, p, records(*range(p, 5000 + p), size=500)) for p in (0, 1)], {})

    read = await read_all(out)
    assert numbers(record for record in read if record.partition == 0) == list(range(5000))
    assert numbers(record for record in read if record.partition == 1) == list(range(1, 5001))


async def test_a_topic_with_a_smaller_limit_gets_smaller_batches(new_transactions, unique, create_topics, read_all):
    """Batches are halved until the topic takes them; a single record that is too large is refused for good."""
    out = unique("out")
    await create_topics({out: (1, {"max.message.bytes": "100000"})})
    lane = await (await new_transactions()).open(unique("lane"), [])
    await lane.commit([Output(out, 0, records(*range(1000), size=500))], {})

    assert numbers(await read_all(out)) == list(range(1000))

    with pytest.raises(BrokerError, match=r"max\.message\.bytes"):
        await lane.commit([Output(out, 0, records(1, size=200_000))], {})


async def test_the_earlier_holder_of_a_lane_can_write_no_more(
    bootstrap, new_transactions, unique, create_topics, read_all
):
    """Once another worker has opened the lane, the first one's commits are refused and change nothing."""
    source, out, name = unique("in"), unique("out"), unique("lane")
    await create_topics({source: 1, out: 1})
    zombie = await (await new_transactions()).open(name, [TP(source, 0)])
    await zombie.commit([Output(out, 0, records(1))], {TP(source, 0): 1})
    owner = await (await new_transactions()).open(name, [TP(source, 0)])

    assert owner.committed == {TP(source, 0): 1}

    with pytest.raises(Fenced):
        await zombie.commit([Output(out, 0, records(2))], {TP(source, 0): 2})
    with pytest.raises(Fenced):
        await zombie.commit([Output(out, 0, records(3))], {})
    await owner.commit([Output(out, 0, records(4))], {TP(source, 0): 5})

    assert numbers(await read_all(out)) == [1, 4]
    assert await committed_offset(bootstrap, new_transactions.group, (source, 0)) == 5


async def test_what_an_earlier_holder_left_open_is_aborted(
    new_transactions, unique, create_topics, read_all, eventually
):
    """A transaction that was begun and never ended does not stand in the way of the next holder's."""
    out, name = unique("out"), unique("lane")
    await create_topics({out: 1})
    await cancelled_on_the_way(await (await new_transactions()).open(name, []), out, eventually)
    lane = await (await new_transactions()).open(name, [])
    await lane.commit([Output(out, 0, records(2))], {})

    assert numbers(await read_all(out)) == [2]


async def cancelled_on_the_way(lane, out, eventually):
    """A commit that had begun to write when it was cancelled."""
    commit = asyncio.ensure_future(lane.commit([Output(out, 0, records(*range(20_000), size=500))], {}))
    await eventually(lambda: lane._sequences, every_s=0.001)
    commit.cancel()
    await asyncio.gather(commit, return_exceptions=True)


async def test_a_slow_line_carries_what_all_lanes_write(proxied, unique):
    """Lanes that write more than their line carries in time take turns, and with less at once: all is written, once.

    Broken by sending the same bytes again after a time-out: all lanes run out of time together, again and again.
    """
    kafka, proxy = proxied
    source, out = unique("in"), unique("out")
    await _create_topics(kafka.bootstrap, {source: 3, out: 3})
    transactions = Transactions(proxy.address, unique("group"), request_timeout_s=1.5)
    await transactions.start()
    try:
        lanes = [await transactions.open(unique("lane"), [TP(source, partition)]) for partition in range(3)]
        for partition, lane in enumerate(lanes):
            await lane.commit([Output(out, partition, records(0))], {TP(source, partition): 1})
        proxy.bytes_per_s = 300_000  # of which each lane has 800,000
        wide = transactions._coordination.window.bytes
        async with asyncio.timeout(60):
            await asyncio.gather(
                *(
                    lane.commit([Output(out, p, records(*range(1, 9), size=100_000))], {TP(source, p): 9})
                    for p, lane in enumerate(lanes)
                )
            )
        narrow = transactions._coordination.window.bytes
        proxy.heal()
        for n in range(9, 20):
            await lanes[0].commit([Output(out, 0, records(n))], {TP(source, 0): n + 1})
        assert narrow < wide == transactions._coordination.window.bytes
    finally:
        await transactions.stop()

    read = await _read_all(kafka.bootstrap, out)
    assert numbers(record for record in read if record.partition == 0) == list(range(20))
    assert numbers(record for record in read if record.partition == 1) == list(range(9))


async def test_offsets_that_a_transaction_is_about_to_commit_are_waited_for(new_transactions, unique, create_topics):
    """They are told when the transaction is through with them, and not as they were before it.

    Broken by asking without `require_stable`: a coordinator that moves the offsets some time after a transaction was
    committed tells of the old ones, and the lane writes everything again.
    """
    tp = TP(unique("in"), 0)
    await create_topics({tp.topic: 1})
    transactions = await new_transactions()
    await transactions.open(unique("lane"), [tp])  # waits for the coordinators of a fresh broker
    coordination = transactions._coordination
    for offset, commit, told in ((7, True, 7), (9, False, 7)):
        who = await coordination.take(unique("lane"))
        await coordination.add_group(who)
        await coordination.commit_offsets(who, {tp: offset})
        asked = asyncio.ensure_future(coordination.committed([tp]))
        await asyncio.sleep(0.3)
        assert not asked.done()
        await coordination.end(who, commit=commit)
        assert await asyncio.wait_for(asked, 10) == {tp: told}


class Behind:
    """A lane whose requests go through a proxy, on topics of its own."""

    def __init__(self, proxied, unique):
        self.kafka, self.proxy = proxied
        self.source, self.out = TP(unique("in"), 0), unique("out")
        self.name = unique("lane")
        self.transactions = Transactions(self.proxy.address, unique("group"))
        self.lane = None

    async def __aenter__(self):
        await _create_topics(self.kafka.bootstrap, {self.source.topic: 1, self.out: 1})
        await self.transactions.start()
        self.lane = await self.transactions.open(self.name, [self.source])
        await self.commit(0)  # a fresh broker's coordinators take a while, which is not what is tested
        return self

    async def __aexit__(self, *_):
        await self.transactions.stop()

    async def commit(self, number):
        """Commit a record and the offset after it."""
        await self.lane.commit([Output(self.out, 0, records(number))], {self.source: number + 1})

    async def read(self):
        """The numbers that committed readers see."""
        return numbers(await _read_all(self.kafka.bootstrap, self.out))


async def test_a_lost_answer_makes_no_copy_and_no_gap(proxied, unique):
    """Whichever answer or request of a transaction is lost: it takes place exactly once, and so does the next one."""
    _, proxy = proxied
    for api in IN_A_TRANSACTION:
        for fault in (lambda api: proxy.lose_answers(of_api=api), proxy.cut):
            async with Behind(proxied, unique) as behind:
                rule = fault(api)
                before = behind.lane.retries
                await behind.commit(1)
                await behind.commit(2)

                assert rule.met == 1
                assert behind.lane.retries > before
                assert await behind.read() == [0, 1, 2]


async def test_a_delayed_end_does_not_end_the_next_transaction(proxied, unique):
    """KAFKA-17754: the end of a transaction that arrives during the next one, after a lost connection, is refused.

    Broken by asking again without a new epoch, as aiokafka's producer does: the late request commits half of the
    transaction that is open when it comes.
    """
    _, proxy = proxied
    async with Behind(proxied, unique) as behind:
        late = proxy.hold(Api.END_TXN)
        first = asyncio.ensure_future(behind.commit(1))
        await asyncio.wait_for(late.was_met.wait(), 10)
        late.cut_clients()
        await first

        async def release():
            late.release()
            await asyncio.sleep(0.3)  # so that it reaches the broker first

        # The late end comes when the second transaction has written its records and not its offsets.
        proxy.call(Api.TXN_OFFSET_COMMIT, call=release)
        proxy.lose_answers(of_api=Api.TXN_OFFSET_COMMIT)
        await behind.commit(2)

        assert await behind.read() == [0, 1, 2]


async def test_a_zombie_that_asks_again_finds_that_others_went_on(proxied, unique):
    """It asks again with a new epoch, and sees by the offsets that the partition is not its own any more."""
    kafka, proxy = proxied
    source, out, group, name = unique("in"), unique("out"), unique("group"), unique("lane")
    await _create_topics(kafka.bootstrap, {source: 1, out: 1})
    theirs, ours = Transactions(proxy.address, group), Transactions(kafka.bootstrap, group)
    await theirs.start()
    await ours.start()
    try:
        zombie = await theirs.open(name, [TP(source, 0)])
        stopped = proxy.hold(Api.ADD_PARTITIONS_TO_TXN)
        late = asyncio.ensure_future(zombie.commit([Output(out, 0, records(1))], {TP(source, 0): 1}))
        await asyncio.wait_for(stopped.was_met.wait(), 10)
        owner = await ours.open(name, [TP(source, 0)])
        await owner.commit([Output(out, 0, records(2))], {TP(source, 0): 2})
        stopped.cut_clients()
        with pytest.raises(Fenced):
            await late
    finally:
        await theirs.stop()
        await ours.stop()

    assert numbers(await _read_all(kafka.bootstrap, out)) == [2]


REFUSED_FOR_NOW = [
    (Api.INIT_PRODUCER_ID, 51),
    (Api.INIT_PRODUCER_ID, 16),
    (Api.ADD_PARTITIONS_TO_TXN, 51),
    (Api.ADD_PARTITIONS_TO_TXN, 16),
    (Api.ADD_OFFSETS_TO_TXN, 14),
    (Api.PRODUCE, 6),
    (Api.TXN_OFFSET_COMMIT, 15),
    (Api.END_TXN, 16),
    (Api.END_TXN, 51),
]


async def test_coordinators_that_refuse_for_now_are_asked_again(proxied, unique):
    """NOT_COORDINATOR and its like cost a retry and make no copy, also where the broker has done what was asked."""
    _, proxy = proxied
    for api, code in REFUSED_FOR_NOW:
        for executed in (False, True):
            async with Behind(proxied, unique) as behind:
                rule = proxy.inject(api, code=code, executed=executed)
                if api == Api.INIT_PRODUCER_ID:
                    behind.lane = await behind.transactions.open(behind.name, [behind.source])
                await behind.commit(1)
                await behind.commit(2)

                assert rule.met == 1
                assert await behind.read() == [0, 1, 2]


async def test_a_newer_epoch_is_the_end_of_the_lane(proxied, unique):
    """INVALID_PRODUCER_EPOCH and PRODUCER_FENCED are not asked again: someone else has the lane."""
    _, proxy = proxied
    for api in IN_A_TRANSACTION:
        for code in (47, 90):
            async with Behind(proxied, unique) as behind:
                proxy.inject(api, code=code)
                with pytest.raises(Fenced):
                    await behind.commit(1)
                await behind.transactions.close(behind.name)

                assert await behind.read() == [0]


async def test_a_commit_that_is_cancelled_leaves_nothing_open(
    new_transactions, unique, create_topics, read_all, bootstrap, eventually
):
    """Closing the lane aborts what a cancelled commit had begun: readers wait for no one."""
    out = unique("out")
    await create_topics({out: 1})
    transactions = await new_transactions()
    name = unique("lane")
    await cancelled_on_the_way(await transactions.open(name, []), out, eventually)
    await transactions.close(name)

    assert await _ends(bootstrap, out, "read_committed") == await _ends(bootstrap, out, "read_uncommitted")
    assert await read_all(out) == []


@pytest.fixture
async def unverified(start_kafka):
    """A broker behind a proxy that asks for no record whether its transaction is under way: `kafka, proxy`."""
    proxy = Proxy(free_port())
    kafka = await asyncio.to_thread(
        start_kafka,
        listeners={"PROXIED": proxy.address},
        properties={"transaction.partition.verification.enable": "false"},
    )
    proxy.target = kafka.addresses["PROXIED"]
    await proxy.start()
    yield kafka, proxy
    await proxy.stop()


async def test_records_that_come_after_their_lane_was_closed_are_refused(unverified, unique):
    """What a cancelled commit still has on its way, on another connection, finds a newer epoch and is not written.

    Broken by aborting with the epoch that wrote: the records come after the abort, and stand in the way of all readers.
    """
    kafka, proxy = unverified
    async with Behind(unverified, unique) as behind:
        late = proxy.hold(Api.PRODUCE)
        commit = asyncio.ensure_future(behind.commit(1))
        await asyncio.wait_for(late.was_met.wait(), 10)
        commit.cancel()
        await asyncio.gather(commit, return_exceptions=True)
        await behind.transactions.close(behind.name)
        await asyncio.sleep(1.0)  # so that what was begun is aborted
        late.release()
        await asyncio.sleep(1.0)  # so that it has reached the broker

        assert await _ends(kafka.bootstrap, behind.out, "read_committed") == await _ends(
            kafka.bootstrap, behind.out, "read_uncommitted"
        )
        behind.lane = await behind.transactions.open(behind.name, [behind.source])
        await behind.commit(2)
        assert await behind.read() == [0, 2]


async def test_a_lane_that_was_taken_over_does_not_fence_its_new_holder_when_it_is_closed(proxied, unique):
    """A zombie that wakes up in the middle of a commit and closes its lane leaves that of the new holder alone."""
    kafka, proxy = proxied
    async with Behind(proxied, unique) as behind:
        stopped = proxy.hold(Api.PRODUCE)
        commit = asyncio.ensure_future(behind.commit(1))
        await asyncio.wait_for(stopped.was_met.wait(), 10)
        ours = Transactions(kafka.bootstrap, behind.transactions._group_id)
        await ours.start()
        try:
            owner = await ours.open(behind.name, [behind.source])
            commit.cancel()
            await asyncio.gather(commit, return_exceptions=True)
            await behind.transactions.close(behind.name)
            await owner.commit([Output(behind.out, 0, records(2))], {behind.source: 3})
            assert owner.retries == 0
        finally:
            stopped.release()
            await ours.stop()
        assert await behind.read() == [0, 2]


async def _ends(bootstrap, topic, level):
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=level) as consumer:
        return await consumer.end_offsets([TopicPartition(topic, 0)])
