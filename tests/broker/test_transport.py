"""The promises of the batched transport, one by one, on a real broker.

Each docstring says how the promise was broken once, to see its test fail.
"""

from __future__ import annotations

import asyncio
import sys
import time

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.records import OutRecord
from app.transport import Limits, acknowledged, live

pytestmark = pytest.mark.broker

PRODUCE_API = 0
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


async def committed(bootstrap, group, topic, n_partitions=2):
    """The committed offsets of *group* on *topic*, by partition, None where there is none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group)
    await consumer.start()
    try:
        return [await consumer.committed(TopicPartition(topic, p)) for p in range(n_partitions)]
    finally:
        await consumer.stop()


def numbered(numbers, partition=0):
    """Records whose value is their number."""
    return [{"value": b"%d" % n, "key": b"k", "partition": partition} for n in numbers]


def collector(app, topic, seen, **options):
    """An agent that notes every record in *seen* and is done with each batch at once."""

    @app.agent(app.batch_topic(topic, **options))
    async def collect(batches):
        async for batch in live(batches):
            seen.extend((batch.partition, int(record.value)) for record in batch.records)
            batch.done()

    return collect


async def saved(table, partition, batch):
    """Write what *batch* changed in *table* to its changelog."""
    topic, partition, rows = table.take_changes(partition, timestamp_ms=batch.records[-1].timestamp)
    await acknowledged(await table.app.producer.publish(topic, partition, rows))


async def test_every_record_reaches_the_agent_once_and_in_order(
    new_app, running, unique, create_topics, produce, eventually, bootstrap
):
    """Promise 1: in order and once, over transaction markers and aborted records, to the last committed offset.

    Broken by reading uncommitted: the records of aborted transactions arrive too.
    """
    topic = unique("in")
    await create_topics({topic: 2})
    for partition in (0, 1):
        for first in range(0, 300, 100):
            await produce(topic, numbered(range(first, first + 100), partition), transactional_id=unique("t"))
            with pytest.raises(ZeroDivisionError):
                await produce(topic, _then_fail(numbered(range(9000, 9010), partition)), transactional_id=unique("t"))
    seen = []
    app = new_app()
    collector(app, topic, seen)
    async with running(app):
        await eventually(lambda: len(seen) >= 600)
        last = [(2 * 300 + 30 + 6) // 2 - 12] * 2  # 300 records, 20 aborted, 5 markers; a last abort follows
        await eventually(lambda: _reached(bootstrap, app.conf.id, topic, last))
    for partition in (0, 1):
        assert [n for p, n in seen if p == partition] == list(range(300))


def _then_fail(records):
    yield from records
    raise ZeroDivisionError


async def _reached(bootstrap, group, topic, offsets):
    return [at or 0 for at in await committed(bootstrap, group, topic, len(offsets))] >= offsets


async def test_compaction_gaps_are_no_hole(
    new_app, running, unique, start_kafka, create_topics, produce, read_all, eventually
):
    """Promise 1: offsets that compaction removed neither stop commits nor repeat records.

    Broken by committing over consecutive offsets only, as Faust does: commits stop before the first gap.
    """
    kafka = await asyncio.to_thread(start_kafka, properties={"log.cleaner.backoff.ms": "100"})
    topic = unique("in")
    config = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "100"}
    await create_topics.func(kafka.bootstrap, {topic: (1, config)})

    for first in (0, 100, 200, 300):
        numbers = range(first, first + 100)
        keyed = [{"value": b"%d" % n, "key": b"%d-%d" % (first, n % 3), "partition": 0} for n in numbers]
        await produce.func(kafka.bootstrap, topic, keyed)
        await asyncio.sleep(0.2)  # the segment's age, not luck: the next record closes it

    async def compacted():
        return len(await read_all.func(kafka.bootstrap, topic)) < 150

    await eventually(compacted)
    seen = []
    app = new_app(broker=f"kafka://{kafka.bootstrap}", broker_max_poll_records=2)
    collector(app, topic, seen)
    async with running(app):
        await eventually(lambda: seen and seen[-1][1] == 399)
        await eventually(lambda: _reached(kafka.bootstrap, app.conf.id, topic, [400]))
    numbers = [n for _, n in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 150


async def test_no_offset_is_committed_before_the_output_is_acknowledged(
    new_app, running, unique, create_topics, produce, eventually, bootstrap, rows
):
    """Promise 2: an output that the broker refuses keeps the input's offset from being committed.

    Broken by calling `batch.done()` before awaiting the acknowledgement: the offset is committed.
    """
    topic, out = unique("in"), unique("out")
    await create_topics({topic: 1, out: (1, {"max.message.bytes": "2000"})})
    app, failures = new_app(), []

    @app.agent(app.batch_topic(topic))
    async def publish(batches):
        async for batch in live(batches):
            size = 5000 if any(record.value == b"big" for record in batch.records) else 10
            try:
                await acknowledged(await app.producer.publish(out, 0, rows([1], size=size)))
            except Exception as error:  # noqa: BLE001
                failures.append(error)
            else:
                batch.done()

    async with running(app):
        await produce(topic, [{"value": b"small", "partition": 0}])
        await eventually(lambda: _reached(bootstrap, app.conf.id, topic, [1]))
        await produce(topic, [{"value": b"big", "partition": 0}])
        await eventually(lambda: failures)
        await produce(topic, [{"value": b"small", "partition": 0}])
        await asyncio.sleep(0.5)  # several commit intervals
    assert (await committed(bootstrap, app.conf.id, topic, 1)) == [1]


TABLE_WORKER = """
import sys
from app.transport import BatchApp
broker, group, topic, datadir = sys.argv[1:]
app = BatchApp(group, broker=f"kafka://{broker}", store="memory://", consumer_auto_offset_reset="earliest",
    topic_partitions=2, topic_disable_leader=True, stream_recovery_delay=0, web_enabled=False, table_standby_replicas=0,
    broker_commit_interval=0.1, datadir=datadir, env={})
table = app.Table("counts", default=int, partitions=2, extra_topic_configs={"max.message.bytes": "500"})
@app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))
async def count(values):
    async for value in values:
        table[value.decode()] = 1
app.Worker(loglevel="info").execute_from_commandline()
"""


async def test_offsets_of_lanes_are_committed_by_nobody_else(
    new_app, running, unique, create_topics, produce, eventually, bootstrap
):
    """Promise 3: a batch that ends while its partition is revoked leaves its offset to the lane's transaction.

    Broken by Faust's streams in C, which note the batch as acknowledged behind the consumer's back: a plain commit of
    an older offset then came after the transaction's own, Kafka kept the later one, and the next owner did it again.
    """
    topic, begun = unique("in"), asyncio.Event()
    await create_topics({topic: 1})
    first, second = new_app(), new_app()

    @first.agent(first.batch_topic(topic, in_lanes=True))
    async def work(batches):
        async for batch in live(batches):
            begun.set()
            while not first.rebalancing:  # noqa: ASYNC110  Faust has no event for it
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # by then Faust has forgotten what was committed
            batch.done()

    collector(second, topic, [], in_lanes=True)
    async with running(first):
        await produce(topic, numbered(range(10)))
        await begun.wait()
        before = first.rebalancing_count
        async with running(second):
            await eventually(lambda: first.rebalancing_count > before and not first.rebalancing)
    assert await committed(bootstrap, first.conf.id, topic, 1) == [None]


async def test_what_is_done_is_remembered_nowhere(new_app, running, unique, create_topics, produce, eventually):
    """Promise 5: a thousand batches a second leave nothing behind.

    Broken by topics with acks: Faust's streams in C keep the offset of every batch until the next rebalance.
    """
    topic, seen = unique("in"), []
    await create_topics({topic: 1})
    app = new_app()
    collector(app, topic, seen)
    async with running(app):
        for number in range(5):
            await produce(topic, numbered([number]))
            await eventually(lambda number=number: len(seen) == number + 1)
        tps = _partitions(app, topic)
        assert [app.consumer._acked.get(tp) for tp in tps] == [None]
        assert [app.consumer._acked_index.get(tp) for tp in tps] == [None]


async def test_no_offset_is_committed_before_faust_table_records_are_acknowledged(
    unique, create_topics, produce, eventually, bootstrap, tmp_path
):
    """Promise 2: a refused changelog record of an ordinary Faust table keeps the offset back, and ends the worker.

    Broken by Faust's own `flush`, which looks at no result: the offset is committed and the row is lost.
    """
    topic, group = unique("in"), unique("app")
    await create_topics({topic: 2})
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TABLE_WORKER, bootstrap, group, topic, str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        await produce(topic, [{"value": b"a", "partition": 0}])
        await eventually(lambda: _reached(bootstrap, group, topic, [1, 0]))
        await produce(topic, [{"value": b"b" * 2000, "partition": 0}])
        output, _ = await asyncio.wait_for(worker.communicate(), 30)
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert worker.returncode != 0
    assert b"was not accepted by the broker" in output
    assert (await committed(bootstrap, group, topic))[0] == 1


async def test_a_commit_asked_for_during_another_commits_what_was_done_since(
    new_app, running, unique, create_topics, produce, eventually, bootstrap, monkeypatch
):
    """Promise 3: the last commit before a rebalance says all that is done, though the timer's is still under way.

    Broken by taking the commit under way for one's own, as Faust does: the new owner repeats what was done since.
    """
    topic, seen, began, go_on = unique("in"), [], asyncio.Event(), asyncio.Event()
    await create_topics({topic: 1})
    app = new_app(broker_commit_interval=30.0)
    collector(app, topic, seen)

    async with running(app):
        await produce(topic, numbered(range(50), 0))
        await eventually(lambda: len(seen) == 50)
        flush = app.producer.flush

        async def slow_flush():
            began.set()
            await go_on.wait()
            await flush()

        monkeypatch.setattr(app.producer, "flush", slow_flush)
        under_way = asyncio.ensure_future(app.consumer.commit())
        await began.wait()
        await produce(topic, numbered(range(50, 100), 0))
        await eventually(lambda: len(seen) == 100)
        last = asyncio.ensure_future(app.consumer.commit())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(under_way, last)
        at_last = await committed(bootstrap, app.conf.id, topic, 1)
    assert at_last == [100]


async def test_a_planned_rebalance_redelivers_nothing(new_app, running, unique, create_topics, produce, eventually):
    """Promise 3: what was done before a worker joins or leaves is committed, and no one processes it again.

    Broken by dropping our bookkeeping before Faust's last commit: the joined worker repeats the latest batches.
    """
    topic = unique("in")
    await create_topics({topic: 4})
    seen = []
    first, second = new_app(broker_commit_interval=30.0), new_app(broker_commit_interval=30.0)
    collector(first, topic, seen)
    collector(second, topic, seen)

    async def feed(numbers):
        for n in numbers:
            await produce(topic, [r for p in range(4) for r in numbered(range(n * 50, n * 50 + 50), p)])

    async with running(first):
        await feed(range(4))
        await eventually(lambda: len(seen) >= 4 * 200)
        feeding = asyncio.ensure_future(feed(range(4, 12)))
        async with running(second):
            await eventually(lambda: 0 < len(_partitions(second, topic)) < 4)
            await feeding
            await eventually(lambda: len(seen) >= 4 * 600)
        await feed(range(12, 14))
        await eventually(lambda: len(seen) >= 4 * 700)
    for partition in range(4):
        assert sorted(n for p, n in seen if p == partition) == list(range(700))


async def test_a_recovery_overtaken_by_a_rebalance_does_not_open_the_way_again(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 3: between a revocation and the next seek no batch goes through, also when a late recovery ends there.

    Broken by closing the way only after the revocation, and by letting any `perform_seek` open it: what was fetched
    before is then delivered once the late recovery resumes the flow, and belongs to no one.
    """
    topic, seen, stood = unique("in"), [], []
    await create_topics({topic: 2})
    first, second = new_app(), new_app()
    collector(first, topic, seen)
    collector(second, topic, [])

    async def end_a_late_recovery(*_, **__):
        stood.append(first.consumer._stands)
        await first.consumer.perform_seek()
        stood.append(first.consumer._stands)

    async with running(first):
        await produce(topic, [r for p in (0, 1) for r in numbered(range(100), p)])
        await eventually(lambda: len(seen) == 200)
        first.on_partitions_revoked.connect(end_a_late_recovery)
        async with running(second):
            await eventually(lambda: len(stood) >= 2)
            first.on_partitions_revoked.disconnect(end_a_late_recovery)
            await eventually(lambda: first.consumer._stands)
    assert stood[:2] == [False, False]


async def test_a_recovery_that_ends_twice_redelivers_nothing(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 1: partitions are sought once for an assignment, and batches that are worked on are not read again.

    Broken by seeking whenever a recovery ends: the committed offset lies before what agents are working on.
    """
    topic, seen, go_on = unique("in"), [], asyncio.Event()
    await create_topics({topic: 1})
    app = new_app()

    @app.agent(app.batch_topic(topic))
    async def work(batches):
        async for batch in live(batches):
            seen.extend(int(record.value) for record in batch.records)
            await go_on.wait()
            batch.done()

    async with running(app):
        await produce(topic, numbered(range(100), 0))
        await eventually(lambda: seen)
        await app.consumer.perform_seek()
        go_on.set()
        await produce(topic, numbered(range(100, 200), 0))
        await eventually(lambda: 199 in seen)
    assert seen == list(range(200))


async def test_what_was_fetched_before_the_seek_is_read_again_where_nothing_was_committed(
    new_app, running, unique, create_topics, produce, eventually, monkeypatch
):
    """Promise 1: a fetch that came too early is dropped, and its records come once the way is open.

    Broken by leaving the client where it stands when there is no committed offset: the first records are lost.
    """
    topic, seen = unique("in"), []
    await create_topics({topic: 1})
    await produce(topic, numbered(range(100), 0))
    app = new_app()
    collector(app, topic, seen)

    async def fetch_meanwhile(committed):
        early = await app.consumer._getmany(set(committed), 5.0)
        assert early
        return {}

    monkeypatch.setattr(app, "start_positions", fetch_meanwhile)
    async with running(app):
        await produce(topic, numbered(range(100, 200), 0))
        await eventually(lambda: (0, 199) in seen)
    assert seen == [(0, number) for number in range(200)]


async def test_a_partition_that_is_being_sought_is_no_fault(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 6: Faust looks for partitions that stand still while one has no position yet, and the worker goes on.

    Broken by Faust's own look, which asserts a position: the worker ends with an AssertionError.
    """
    topic, seen = unique("in"), []
    await create_topics({topic: 1})
    app = new_app()
    collector(app, topic, seen)
    async with running(app):
        subscription = app.consumer._thread._ensure_consumer()._subscription.subscription
        (tp,) = _partitions(app, topic)
        await produce(topic, numbered(range(100), 0))
        await eventually(lambda: len(seen) == 100)
        subscription.assignment.state_value(tp).await_reset(EARLIEST)
        app.consumer.verify_event_path(time.monotonic(), tp)


async def test_a_rebalance_that_meets_a_stopping_app_closes_nothing_from_another_thread(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 3: the client is closed in its own thread, after the agents have finished and all of it is committed.

    Broken by Faust's own `close`, which closes connections that another thread reads from: nothing more is delivered,
    the last commit fails, and once in a while the process ends with SIGSEGV.
    """
    topic, seen = unique("in"), []
    await create_topics({topic: 1})
    app = new_app()
    collector(app, topic, seen)
    async with running(app):
        await produce(topic, numbered(range(100), 0))
        await eventually(lambda: len(seen) == 100)
        app._on_rebalance_when_stopped()
        await produce(topic, numbered(range(100, 200), 0))
        await eventually(lambda: len(seen) == 200)
        client = app.consumer._thread._ensure_consumer()
        assert not client._closed
    assert client._closed


async def test_what_is_begun_when_a_rebalance_meets_a_stopping_app_is_finished_and_committed(
    new_app, running, unique, create_topics, produce, bootstrap
):
    """Promise 3: also an app that stops gives the group back what it holds only when it is done and committed.

    Broken by leaving out the wait of a revocation in an app that stops: the next owner gets the batch again.
    """
    topic, seen, begun, go_on = unique("in"), [], asyncio.Event(), asyncio.Event()
    await create_topics({topic: 1})
    app = new_app()

    @app.agent(app.batch_topic(topic))
    async def work(batches):
        async for batch in live(batches):
            begun.set()
            await go_on.wait()
            seen.extend(int(record.value) for record in batch.records)
            batch.done()

    async with running(app):
        await produce(topic, numbered(range(100), 0))
        await begun.wait()
        app._stopped.set()
        revoked = asyncio.ensure_future(app.consumer.on_partitions_revoked(app.consumer.assignment()))
        await asyncio.sleep(0.3)  # time to go on too soon
        assert not revoked.done()
        go_on.set()
        await revoked
        n = len(seen)
        app._stopped.clear()
    assert n
    assert await committed(bootstrap, app.conf.id, topic, 1) == [n]


async def test_a_recovery_takes_as_long_as_it_takes(new_app, running, unique, create_topics, produce, eventually):
    """Promise 6: what a recovery waits for may take longer than a request, and the streams begin then.

    Broken by Faust's time-out for each step of it: nothing is ever delivered, and nobody is told.
    """
    topic, seen = unique("in"), []
    await create_topics({topic: 1})
    app = new_app()
    app.batch_table(unique("table"), partitions=1)
    collector(app, topic, seen)

    async def fence(_assigned):
        await asyncio.sleep(1.5)

    async def be_impatient(*_, **__):
        with pytest.warns(faust.exceptions.AlreadyConfiguredWarning):  # the client was given its own, the recovery asks
            app.conf.broker_request_timeout = 0.5

    app.fence = fence
    app.on_partitions_assigned.connect(be_impatient)
    await produce(topic, numbered(range(10), 0))
    async with running(app):
        await eventually(lambda: len(seen) == 10)


async def test_a_group_that_has_no_place_for_the_worker_ends_it(
    new_app, running, unique, create_topics, eventually, bootstrap
):
    """Promise 6: where another program uses the group in another way, the app does not wait for ever in silence.

    Broken by asking nobody: aiokafka keeps the error to itself, and joins no group until someone has seen it.
    """
    topic, name = unique("in"), unique("app")
    await create_topics({topic: 1})
    other = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=name)
    await other.start()
    try:
        app = new_app(name)
        app.batch_table(unique("table"), partitions=1)  # with tables Faust shares partitions out in a way of its own
        collector(app, topic, [])
        async with running(app):
            await eventually(lambda: app.crashed)
            assert "has no place for this worker" in str(app._crash_reason)
    finally:
        await other.stop()


EARLIEST = -2
"""Kafka's number for the first offset there is."""


def _partitions(app, topic):
    return [tp for tp in app.consumer.assignment() if tp.topic == topic]


async def test_a_parked_partition_waits_in_kafka_and_goes_on_where_it_stood(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 4: a parked partition holds no records, others flow on, and it resumes at its first parked record.

    Broken by keeping what a fetch under way brings after the parking, by not seeking back (records are skipped), and
    by not voiding queued batches (they stay in flight).
    """
    topic = unique("in")
    await create_topics({topic: 2})
    seen, closed = [], {0}
    app = new_app(broker_max_poll_records=5000)

    @app.agent(app.batch_topic(topic))
    async def work(batches):
        async for batch in live(batches):
            if batch.partition in closed:
                await asyncio.sleep(0.01)  # so long that the next fetch of the partition is under way
                app.consumer.park(batch)
                continue
            seen.extend((batch.partition, int(record.value)) for record in batch.records)
            batch.done()

    async def feed():
        for n in range(50):
            await produce(topic, [r for p in (0, 1) for r in numbered(range(n * 40, n * 40 + 40), p)])

    async with running(app):
        feeding = asyncio.ensure_future(feed())
        while not feeding.done():  # the agent parks it again at once, while the next records are being fetched
            app.consumer.unpark(topic, 0)
            await asyncio.sleep(0.03)
        await feeding
        await eventually(lambda: len(seen) == 2000)
        assert {p for p, _ in seen} == {1}
        await eventually(lambda: app.consumer.in_flight_bytes == 0)  # the last of them may not be parked yet
        closed.clear()
        app.consumer.unpark(topic, 0)
        await eventually(lambda: len(seen) == 4000)
    assert [n for p, n in seen if p == 0] == list(range(2000))


async def test_a_worker_whose_partitions_all_wait_stays_in_its_group(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 4: however long it takes until a model is there, the worker has its partitions when it comes.

    Broken by leaving it to the client: it asks for nothing, leaves the group after the poll interval, and stays away.
    """
    topic, taken = unique("in"), []
    await create_topics({topic: 1})
    app = new_app(broker_max_poll_interval=2.0)

    @app.agent(app.batch_topic(topic))
    async def work(batches):
        async for batch in live(batches):
            taken.append(batch)
            if len(taken) == 1:
                app.consumer.park(batch)
            else:
                batch.done()

    async with running(app):
        await produce(topic, numbered(range(10)))
        await eventually(lambda: taken)
        generation = app.consumer_generation_id
        await asyncio.sleep(5.0)  # more than two poll intervals
        app.consumer.unpark(topic, 0)
        await eventually(lambda: len(taken) == 2)
        assert app.consumer_generation_id == generation


async def test_another_worker_may_join_while_a_partition_is_parked(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 4: nothing is held across the wait, so a rebalance does not wait for the model.

    Broken by waiting in the agent instead of parking: the second worker gets no partition within the time.
    """
    topic = unique("in")
    await create_topics({topic: 2})
    seen = []
    waiting, ready = new_app(), new_app()

    @waiting.agent(waiting.batch_topic(topic))
    async def park(batches):
        async for batch in live(batches):
            waiting.consumer.park(batch)

    collector(ready, topic, seen)
    async with running(waiting):
        await produce(topic, [r for p in (0, 1) for r in numbered(range(100), p)])
        await eventually(lambda: len(waiting.consumer.parked) == 2)
        async with running(ready):
            await eventually(lambda: len(seen) == 100, deadline_s=15)
    assert len({n for _, n in seen}) == 100


async def test_memory_is_bounded_by_bytes_while_an_agent_is_stuck(
    new_app, running, unique, create_topics, eventually, rows
):
    """Promise 5: of a 40 MB backlog no more is taken in than the limit and one fetch.

    Broken by fetching without asking for room: in-flight bytes grow to the whole backlog.
    """
    topic = unique("in")
    await create_topics({topic: 2})
    limits = Limits(in_flight_bytes=1 << 20, in_flight_batches=100)
    app, go_on, seen = new_app(limits=limits, broker_max_poll_records=50), asyncio.Event(), []

    @app.agent(app.batch_topic(topic))
    async def work(batches):
        async for batch in live(batches):
            await go_on.wait()
            seen.extend(record.offset for record in batch.records)
            batch.done()

    async with running(app):
        for partition in (0, 1):
            await acknowledged(await app.producer.publish(topic, partition, rows(range(2000), size=10_000)))
        await eventually(lambda: app.consumer.in_flight_bytes >= limits.in_flight_bytes)
        peak = 0
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            peak = max(peak, app.consumer.in_flight_bytes)
            await asyncio.sleep(0.01)
        assert peak <= limits.in_flight_bytes + 2 * 50 * 10_200
        go_on.set()
        await eventually(lambda: len(seen) == 4000)


async def test_small_batches_go_on_although_none_is_done(new_app, running, unique, create_topics, produce, eventually):
    """Promise 5: what is counted in turns takes in small batches meanwhile; room is a matter of bytes.

    Broken by room for three batches of whatever size: the fourth stays with the client, which then fetches nothing at
    all for a tenth of a second, and events wait for counts.
    """
    topic, taken = unique("in"), []
    await create_topics({topic: 1})
    app = new_app()

    @app.agent(app.batch_topic(topic))
    async def work(batches):
        async for batch in live(batches):
            taken.append(batch)  # noqa: PERF401  one by one, and never done

    async with running(app):
        for number in range(10):
            await produce(topic, numbered([number]))
            await eventually(lambda number=number: sum(len(batch.records) for batch in taken) == number + 1)
        for batch in taken:
            batch.done()
    assert len(taken) == 10


async def test_ordinary_faust_parts_live_beside_batches(new_app, running, unique, create_topics, produce, eventually):
    """Promise 6: topics, tables, agents and timers of plain Faust work in the same worker, also after a restart.

    Broken by delivering changelog batches to Faust's own recovery: the table is empty after the restart.
    """
    batched, plain = unique("in"), unique("plain")
    await create_topics({batched: 2, plain: 2})
    name, seen, ticks = unique("app"), [], []

    def build():
        app = new_app(name)
        collector(app, batched, seen)
        table = app.Table("counts", default=int, partitions=2)

        @app.agent(app.topic(plain, value_type=str, value_serializer="raw"))
        async def count(values):
            async for value in values:
                table[value] += 1

        @app.timer(0.05)
        async def tick():
            ticks.append(1)

        return app, table

    app, table = build()
    async with running(app):
        await produce(plain, [{"value": b"ab"[n % 2 : n % 2 + 1], "partition": n % 2} for n in range(100)])
        await produce(batched, numbered(range(50)))
        await eventually(lambda: (table["a"], table["b"], len(seen)) == (50, 50, 50))
        await eventually(lambda: ticks)
    app, table = build()
    async with running(app):
        assert (table["a"], table["b"]) == (50, 50)
        await produce(plain, [{"value": b"a", "partition": 0}])
        await eventually(lambda: table["a"] == 51)
    assert len(seen) == 50


async def test_a_table_is_recovered_in_batches_and_keeps_deletions(
    new_app, running, unique, create_topics, produce, eventually, bootstrap
):
    """Promise 6: 100,000 rows written in batches are there after a restart, and removed ones are not.

    Broken by ignoring null values in `_restore`: removed rows come back.
    """
    topic = unique("in")
    await create_topics({topic: 1})
    name = unique("app")

    def build():
        app = new_app(name, topic_partitions=1)
        table = app.batch_table("rows", partitions=1)

        @app.agent(app.batch_topic(topic))
        async def write(batches):
            async for batch in live(batches):
                for n in range(100_000):
                    table[f"row {n}"] = b"%d" % n
                await saved(table, 0, batch)
                for n in range(0, 100_000, 2):
                    del table[f"row {n}"]
                await saved(table, 0, batch)
                batch.done()

        return app, table

    app, table = build()
    async with running(app):
        await produce(topic, numbered([1]))
        await eventually(lambda: _reached(bootstrap, name, topic, [1]), deadline_s=60)
        assert len(table) == 50_000
    app, table = build()
    async with running(app):
        assert len(table) == 50_000
        assert table["row 99999"] == b"99999"
        assert "row 0" not in table


async def test_a_table_comes_back_with_a_partition_that_comes_back(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 6: rows of a partition that went to another worker and returned are the newest ones.

    Broken by Faust's memory store, which forgets only rows that it recovered: the old worker's rows stay.
    """
    topic = unique("in")
    await create_topics({topic: 2})

    def build():
        app = new_app()
        table = app.batch_table("rows", partitions=2)

        @app.agent(app.batch_topic(topic))
        async def write(batches):
            async for batch in live(batches):
                for record in batch.records:
                    table[f"row {batch.partition}"] = record.value
                await saved(table, batch.partition, batch)
                batch.done()

        return app, table

    first, rows = build()
    second, others = build()
    async with running(first):
        await produce(topic, [r for p in (0, 1) for r in numbered([1], p)])
        await eventually(lambda: dict(rows.items()) == {"row 0": b"1", "row 1": b"1"})
        async with running(second):
            await eventually(lambda: len(others) == 1 and len(rows) == 1)
            await produce(topic, [r for p in (0, 1) for r in numbered([2], p)])
            await eventually(lambda: {**rows, **others} == {"row 0": b"2", "row 1": b"2"})
        await eventually(lambda: len(_partitions(first, topic)) == 2 and not first.rebalancing)
        assert dict(rows.items()) == {"row 0": b"2", "row 1": b"2"}


async def test_no_record_is_delivered_before_its_partition_was_sought(
    new_app, running, unique, create_topics, produce, eventually
):
    """Promise 1: while tables are recovered and positions are looked up, no batch reaches an agent, also at a restart.

    Broken by Faust's order, which resumes partitions first: batches come, and come again after the seek.
    """
    topic = unique("in")
    await create_topics({topic: 2})
    name, seen, early = unique("app"), [], []

    def build():
        app = new_app(name)
        table = app.batch_table("rows", partitions=2)
        sought = []

        async def look_up(committed):
            await asyncio.sleep(1.2)  # longer than the fetch of the changelogs that is under way
            sought.append(committed)
            return {}

        app.start_positions = look_up

        @app.agent(app.batch_topic(topic))
        async def write(batches):
            async for batch in live(batches):
                early.extend([] if sought else [batch])
                seen.extend((batch.partition, int(record.value)) for record in batch.records)
                table[f"row {batch.partition}"] = b"1"
                await saved(table, batch.partition, batch)
                batch.done()

        return app

    for n in range(3):
        await produce(topic, [r for p in (0, 1) for r in numbered(range(n * 50, n * 50 + 50), p)])
        async with running(build()):
            await eventually(lambda: len(seen) >= (n + 1) * 100)  # noqa: B023  awaited before n changes
    assert not early
    for partition in (0, 1):
        assert [number for p, number in seen if p == partition] == list(range(150))


@pytest.mark.parametrize("codec", CODECS)
async def test_every_codec_is_read(codec, new_app, running, unique, create_topics, produce, eventually):
    """Promise 7: batches in each of Kafka's compression codecs are read.

    Broken by uninstalling cramjam: snappy, lz4 and zstd end the consumer.
    """
    topic = unique("in")
    await create_topics({topic: 1})
    await produce(topic, numbered(range(200)), compression_type=codec)
    seen = []
    app = new_app(topic_partitions=1)
    collector(app, topic, seen)
    async with running(app):
        await eventually(lambda: len(seen) == 200)
    assert [n for _, n in seen] == list(range(200))


async def test_a_connection_cut_after_the_write_doubles_nothing(
    new_app, running, unique, proxied, rows, create_topics, read_all
):
    """Promise 8: the producer is idempotent: a produce request whose answer was lost is sent again, and stands once.

    Broken by `enable_idempotence=False`: the repeated batches stand twice.
    """
    kafka, proxy = proxied
    out = unique("out")
    await create_topics.func(kafka.bootstrap, {out: 1})
    app = new_app(broker=f"kafka://{proxy.address}")
    async with running(app):
        for n in range(10):
            proxy.lose_answers(of_api=PRODUCE_API, count=1)
            await acknowledged(await app.producer.publish(out, 0, rows(range(n * 10, n * 10 + 10))))
    assert proxy.answers_lost == 10
    assert [int(record.value) for record in await read_all.func(kafka.bootstrap, out)] == list(range(100))


async def test_a_batch_message_is_of_one_generation(new_app, running, unique, create_topics, produce, eventually):
    """Promise 3: what was delivered before a rebalance and finished after it commits nothing in the new generation.

    Broken by keeping a partition's bookkeeping over a rebalance.
    """
    topic = unique("in")
    await create_topics({topic: 2})
    app, held = new_app(limits=Limits(settle_s=0.5)), []

    @app.agent(app.batch_topic(topic))
    async def hold(batches):
        async for batch in live(batches):
            held.append(batch)  # noqa: PERF401  each is held while the next is waited for

    async with running(app):
        await produce(topic, numbered(range(10)))
        await eventually(lambda: held)
        other = new_app()
        collector(other, topic, [])
        async with running(other):
            await eventually(lambda: held[0].void)
            held[0].done()
            assert all(d.committable is None for d in app.consumer._deliveries.values())


def test_a_batch_topic_is_a_faust_topic(new_app):
    """Batched topics are declared as Faust topics are, so that Faust's tools list them."""
    app = new_app()

    assert isinstance(app.batch_topic("a", "b"), faust.Topic)
    assert app.batched_topics == {"a", "b"}
    assert OutRecord(b"k", b"v", 1, []).key == b"k"
