"""Releases and activations on a real broker: what is published is what every worker serves, and nothing else."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from app.errors import BrokerError, ConfigurationError, Refusal, RejectedRelease
from app.records import Activation, Manifest, ModelEvent, topics_of
from app.registry import (
    ModelCache,
    ModelReader,
    activate_version,
    is_future,
    model_topic_configs,
    publish,
    read_models,
)
from app.registry import reader as reader_module
from app.registry.chunks import chunk_key, digest_of, split

pytestmark = pytest.mark.broker


class Bench:
    """One pipeline's model topics, with publishers and readers on them."""

    def __init__(self, bootstrap, pipeline, folder, stack):
        self.bootstrap, self.pipeline = bootstrap, pipeline
        self.topics = topics_of(pipeline)
        self._folder, self._stack = folder, stack
        self._n_readers = 0

    async def publish(self, model, **options):
        """Publish *model* now."""
        defaults = {"author": "ann", "now_s": time.time()}
        return await publish(self.bootstrap, self.topics, self.pipeline, model, **{**defaults, **options})

    async def activate(self, version, **options):
        """Activate *version* now."""
        defaults = {"version": version, "author": "ann", "now_s": time.time()}
        return await activate_version(self.bootstrap, self.topics, self.pipeline, **{**defaults, **options})

    def new_reader(self, load=None, *, cache=None, **options):
        """A reader that is not started; its `events` and `loads` tell what it reported and loaded."""
        self._n_readers += 1
        events, loads = [], []

        def count_and_load(data, manifest):
            loads.append(manifest.version)
            return load(data, manifest) if load else data

        reader = ModelReader(
            self.bootstrap,
            self.topics,
            self.pipeline,
            count_and_load,
            ModelCache(self._folder / (cache or f"cache{self._n_readers}")),
            worker=f"w{self._n_readers}",
            report=events.append,
            clock=time.time,
            **options,
        )
        reader.events, reader.loads = events, loads
        self._stack.push_async_callback(reader.stop)
        return reader

    async def reader(self, load=None, **options):
        """A reader that runs until the test ends."""
        reader = self.new_reader(load, **options)
        await reader.start()
        return reader

    async def write(self, *records, topic=None):
        """Write records to `models`, each a (key, value) with bytes or a record to encode."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            for key, value in records:
                raw = value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)
                await producer.send_and_wait(topic or self.topics.models, key=key, value=raw, partition=0)

    def manifest(self, model, version, **changes):
        """The manifest that *model* should have."""
        fields = {
            "pipeline": self.pipeline,
            "version": version,
            "sha256": digest_of(model),
            "size": len(model),
            "chunks": len(list(split(model))),
            "created_at": 0.0,
        }
        return Manifest(**{**fields, **changes})


@pytest.fixture
async def bench(bootstrap, unique, create_topics, tmp_path):
    """A pipeline of its own, with empty model topics."""
    pipeline = unique()
    topics = topics_of(pipeline)
    names = (topics.models, topics.model_bytes, topics.model_events)
    await create_topics({name: (1, config) for name, config in zip(names, model_topic_configs(), strict=True)})
    async with AsyncExitStack() as stack:
        yield Bench(bootstrap, pipeline, tmp_path, stack)


def ready_at(reader, t_s):
    """Whether *reader* could score a record of *t_s* now."""
    return reader.needs(t_s, t_s, now_s=time.time()) is None


def said(reader, *events):
    """What *reader* reported of the given kinds: (event, version, reason)."""
    return [(event.event, event.version, event.reason) for event in reader.events if event.event in events]


def refuse_bad(data, manifest):
    """A loader to which only bytes that begin with `bad` are no model."""
    if data.startswith(b"bad"):
        raise RejectedRelease(Refusal.NOT_ONNX, f"version {manifest.version} is no ONNX file")
    return data


async def test_what_is_published_is_what_a_reader_serves(bench, eventually):
    """A model of several chunks arrives byte by byte; the first activation holds for every record there ever was."""
    model = random.Random(1).randbytes(1_200_000)
    steps = []
    published = await bench.publish(
        model, note="first", contract_sha256="c" * 64, activate=True, progress=lambda done, of: steps.append((done, of))
    )
    assert (published.manifest.version, published.manifest.chunks, published.activation.sequence) == (1, 3, 1)
    assert steps[-1] == (len(model), len(model))
    assert len(steps) == 3
    reader = await bench.reader(contract_sha256="c" * 64)
    await eventually(lambda: reader.problem is None)
    for t_s in (0.0, time.time()):
        assert ready_at(reader, t_s)
        assert reader.scorer_for(t_s) == model
    await eventually(lambda: len(reader.events) == 2)
    assert said(reader, "accepted", "activated") == [("accepted", 1, None), ("activated", 1, None)]
    status = reader.status()
    assert status["current"] == {"version": 1, "sequence": 1}
    assert status["releases"][0]["state"] == "accepted"
    assert status["releases"][0]["note"] == "first"
    assert msgspec.json.encode(status)
    assert msgspec.convert(msgspec.to_builtins(reader.events[0]), ModelEvent).worker == "w1"


async def test_a_new_version_begins_exactly_at_its_time_for_a_running_reader(bench, eventually):
    """The next version is loaded before its time, and a record one millisecond earlier is the old one's."""
    await bench.publish(b"one", activate=True)
    reader = await bench.reader()
    await eventually(lambda: reader.problem is None)
    activation = (await bench.publish(b"two", activate=True)).activation
    at_s = activation.effective_from_s
    await eventually(lambda: ready_at(reader, at_s))
    assert time.time() < at_s
    assert reader.scorer_for(at_s - 0.001) == b"one"
    assert reader.scorer_for(at_s) == b"two"
    assert reader.needs(at_s - 1, at_s, now_s=time.time()) is None
    assert ("activated", 2, None) not in said(reader, "activated")
    await eventually(lambda: ("activated", 2, None) in said(reader, "activated"))
    assert time.time() >= at_s


async def test_hundred_megabytes_travel_and_the_event_loop_stays_awake(bench, eventually):
    """A model of 100 MB reaches a reader whole; meanwhile no other work of the loop waits for half a second."""
    model = random.Random(2).randbytes(100_000_000)
    published = await bench.publish(model, activate=True)
    assert published.manifest.chunks == 191
    pauses = []

    async def watch():
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            pauses.append(time.perf_counter() - began)

    reader = await bench.reader(lambda data, _: digest_of(data))
    watcher = asyncio.create_task(watch())
    await eventually(lambda: reader.problem is None, 60)
    watcher.cancel()
    assert reader.scorer_for(time.time()) == published.manifest.sha256
    assert max(pauses) < 0.5


async def missing_chunk(bench):
    """Publish version 2 without its second chunk."""
    model = random.Random(3).randbytes(600_000)
    manifest = bench.manifest(model, 2, first_chunk_offset=0)
    await bench.write((chunk_key(manifest.sha256, 0), next(split(model))), topic=bench.topics.model_bytes)
    await bench.write((b"release/2", manifest))


async def wrong_checksum(bench):
    """Publish version 2 with other bytes than it names."""
    manifest = bench.manifest(b"good", 2)
    await bench.write((chunk_key(manifest.sha256, 0), b"evil"), topic=bench.topics.model_bytes)
    await bench.write((b"release/2", manifest))


async def too_large(bench):
    """Publish version 2 above the reader's limit."""
    await bench.publish(b"x" * 1001)


async def not_onnx(bench):
    """Publish version 2 that cannot be loaded."""
    await bench.publish(b"bad model")


async def other_contract(bench):
    """Publish version 2 for another contract."""
    await bench.publish(b"fine", contract_sha256="d" * 64)


async def bad_manifest(bench):
    """Publish version 2 with a manifest that is no JSON."""
    await bench.write((b"release/2", b"{"))


@pytest.mark.parametrize(
    ("break_it", "refusal"),
    [
        (missing_chunk, Refusal.MISSING_CHUNK),
        (wrong_checksum, Refusal.WRONG_CHECKSUM),
        (too_large, Refusal.TOO_LARGE),
        (not_onnx, Refusal.NOT_ONNX),
        (other_contract, Refusal.CONTRACT_MISMATCH),
        (bad_manifest, Refusal.BAD_MANIFEST),
    ],
)
async def test_a_broken_release_is_refused_with_its_reason_and_the_old_one_serves_on(
    bench, eventually, break_it, refusal
):
    """Also when it is activated: its activation is ignored, with a reason of its own."""
    await bench.publish(b"old", activate=True)
    reader = await bench.reader(
        refuse_bad, contract_sha256="c" * 64, max_model_bytes=1_000 if break_it is too_large else 10**6
    )
    await eventually(lambda: reader.problem is None)
    await break_it(bench)
    await eventually(lambda: said(reader, "refused"))
    assert said(reader, "refused") == [("refused", 2, refusal)]
    effective_s = time.time() + 2.2
    await bench.write((b"activation/2", Activation(sequence=2, version=2, effective_from_s=effective_s, author="ann")))
    await eventually(lambda: said(reader, "ignored"))
    reason = "unknown_version" if break_it is bad_manifest else "release_refused"
    assert said(reader, "ignored") == [("ignored", 2, reason)]
    await eventually(lambda: ready_at(reader, effective_s))
    assert reader.scorer_for(effective_s) == b"old"
    assert reader.problem is None


async def test_a_late_starter_loads_what_is_in_force_and_not_the_past(bench, eventually):
    """Of ten releases it fetches the one in force; a replay of an old record then fetches that record's."""
    await bench.publish(b"model 1", activate=True)
    turns = []
    for number in range(2, 11):
        await bench.publish(b"model %d" % number)
        # Written by hand, so that ten activations need no waiting for their leads.
        turns.append(time.time() + 2.5)
        activation = Activation(sequence=number, version=number, effective_from_s=turns[-1], author="ann")
        await bench.write((b"activation/%d" % number, activation))
    await eventually(lambda: time.time() > turns[-1])
    reader = await bench.reader()
    await eventually(lambda: reader.problem is None)
    assert reader.loads == [10]
    assert reader.scorer_for(time.time()) == b"model 10"
    assert not ready_at(reader, turns[3])
    await eventually(lambda: ready_at(reader, turns[3]))
    assert reader.scorer_for(turns[3]) == b"model 5"
    assert [(event.version, event.sequence) for event in reader.events if event.event == "activated"] == [(10, 10)]


async def test_all_readers_agree_at_every_turn_whenever_they_started(bench, eventually):
    """An early reader, one that joins in the middle and one that comes last serve the same version at every time."""
    turns, readers = [0.0], [await bench.reader(refuse_bad)]
    for number in range(1, 6):
        await bench.publish(b"bad" if number in (1, 4) else b"model %d" % number)
        if number == 3:
            readers.append(await bench.reader(refuse_bad))
        turns.append(time.time() + 2.5)
        activation = Activation(sequence=number, version=number, effective_from_s=turns[-1], author="ann")
        await bench.write((b"activation/%d" % number, activation))
    readers.append(await bench.reader(refuse_bad))
    moments = sorted([*turns, *(t_s - 0.001 for t_s in turns)])
    for reader in readers:
        await eventually(lambda reader=reader: all(ready_at(reader, t_s) for t_s in moments))
    served = [[reader.scorer_for(t_s) for t_s in moments] for reader in readers]
    assert served[0] == served[1] == served[2]
    assert set(served[0]) == {b"model 2", b"model 3", b"model 5"}


async def test_publishers_that_race_for_a_sequence_all_get_one_of_their_own(bench):
    """Four activations at the same moment: four sequences, each standing with its own version."""
    for _ in range(2):
        await bench.publish(b"model")
    activations = await asyncio.gather(*(bench.activate(version) for version in (1, 2, 1, 2)))
    assert len({activation.sequence for activation in activations}) == 4
    timeline = await read_models(bench.bootstrap, bench.topics, bench.pipeline)
    for activation in activations:
        standing = timeline.standing(activation.sequence)
        assert standing.activation == activation
        assert standing.on_time


async def test_publishers_that_race_for_a_version_do_not_replace_each_other(bench):
    """Of two that publish at the same moment each gets a version of its own, or is told that it did not."""
    outcomes = await asyncio.gather(*(bench.publish(model) for model in (b"a", b"b")), return_exceptions=True)
    timeline = await read_models(bench.bootstrap, bench.topics, bench.pipeline)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, BrokerError)
            assert "at the same moment" in str(outcome)
        else:
            assert timeline.manifest(outcome.manifest.version) == outcome.manifest
    assert any(not isinstance(outcome, BaseException) for outcome in outcomes)


async def test_a_record_behind_an_open_transaction_makes_the_reader_wait(bench, eventually):
    """What was written but is not committed may decide: until it is, no record is scored that it could concern.

    Fails when the end of the topic is asked for as a read_committed consumer is told it.
    """
    await bench.publish(b"one", activate=True)
    await bench.publish(b"two")
    reader = await bench.reader()
    await eventually(lambda: reader.problem is None)
    async with AIOKafkaProducer(bootstrap_servers=bench.bootstrap, transactional_id=bench.pipeline) as producer:
        await producer.begin_transaction()
        at_s = time.time() + 2.5
        activation = Activation(sequence=2, version=2, effective_from_s=at_s, author="ann")
        await producer.send_and_wait(bench.topics.models, key=b"activation/2", value=msgspec.json.encode(activation))
        await eventually(lambda: time.time() > at_s)
        assert "was last seen" in reader.needs(at_s, at_s, now_s=time.time())
        assert ready_at(reader, at_s - 3)
        await producer.commit_transaction()
    await eventually(lambda: ready_at(reader, at_s))
    assert reader.scorer_for(at_s) == b"two"


async def test_bytes_behind_an_open_transaction_are_waited_for_not_refused(bench, eventually):
    """An upload that somebody never finished hides what came after it; that is no fault of the release."""
    async with AIOKafkaProducer(bootstrap_servers=bench.bootstrap, transactional_id=bench.pipeline) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(bench.topics.model_bytes, key=b"ff/0", value=b"half")
        await bench.publish(b"whole", activate=True)
        reader = await bench.reader()
        await eventually(lambda: reader.needs(0.0, 0.0, now_s=time.time()) == "version 1 is being loaded")
        await asyncio.sleep(1)
        assert reader.events == []
        await producer.abort_transaction()
    await eventually(lambda: reader.problem is None)
    assert reader.scorer_for(0.0) == b"whole"


async def test_chunks_are_found_where_the_hint_is_wrong(bench, eventually):
    """On a topic that was copied, offsets are others: the hint may lead past the end or to the wrong place."""
    model = random.Random(4).randbytes(600_000)
    records = [(chunk_key(digest_of(model), index), piece) for index, piece in enumerate(split(model))]
    await bench.write(*records, (b"other/0", b"x"), topic=bench.topics.model_bytes)
    reader = await bench.reader()
    for version, hint in ((1, 1), (2, 10_000), (3, None)):
        await bench.write((b"release/%d" % version, bench.manifest(model, version, first_chunk_offset=hint)))
    await eventually(lambda: len(said(reader, "accepted")) == 3)
    assert said(reader, "refused") == []


async def test_a_fault_of_this_machine_is_no_refusal(bench, eventually):
    """Out of memory: not ready, the reason shown, tried again; and nobody else's version is served meanwhile."""
    await bench.publish(b"one", activate=True)
    faults = [MemoryError("no room for 34 MB"), OSError("disk gone")]

    def load(data, _):
        if faults:
            raise faults.pop(0)
        return data

    reader = await bench.reader(load)
    problem = await eventually(lambda: reader.problem if "no room" in (reader.problem or "") else None)
    assert problem == "version 1 could not be loaded here: no room for 34 MB"
    await eventually(lambda: reader.problem is None)
    assert [event.event for event in reader.events] == ["accepted", "activated"]


async def test_readers_of_one_machine_share_the_bytes(bench, eventually):
    """A second process with the same cache needs no bytes from the topic, and refuses what the others would."""
    await bench.publish(b"one", activate=True)
    first = await bench.reader(cache="shared")
    await eventually(lambda: first.problem is None)
    # The same bytes cut otherwise: chunks that are not there, although the bytes are on disk.
    await bench.write((b"release/2", bench.manifest(b"one", 2, chunks=2)))
    await eventually(lambda: said(first, "refused") == [("refused", 2, Refusal.MISSING_CHUNK)])
    await bench.write((chunk_key(digest_of(b"one"), 0), None), topic=bench.topics.model_bytes)
    second = await bench.reader(cache="shared")
    await eventually(lambda: said(second, "refused"))
    assert said(second, "refused") == [("refused", 2, Refusal.MISSING_CHUNK)]


async def test_records_far_ahead_of_the_clock_are_not_waited_for(bench, eventually):
    """A timestamp an hour ahead is served by the latest activation known; one 30 s ahead waits."""
    await bench.publish(b"one", activate=True)
    reader = await bench.reader()
    await eventually(lambda: reader.problem is None)
    now_s = time.time()
    assert reader.needs(now_s, now_s + 3600, now_s=now_s) is None
    assert reader.scorer_for(now_s + 3600) == b"one"
    assert reader.needs(now_s, now_s + 30, now_s=now_s) is not None
    assert is_future(now_s + 3600, now_s)
    assert reader.needs(now_s, now_s + 3600, now_s=now_s, settled_s=now_s + 30) is not None


async def test_without_a_model_the_reader_says_what_is_missing(bench, eventually):
    """Nothing published, then published but not active; then a change wakes those who wait."""
    reader = await bench.reader()
    await eventually(lambda: "no model has been published" in reader.problem)
    await bench.publish(b"one")
    await eventually(lambda: "no model is active" in reader.problem)
    await bench.activate(1)
    async with asyncio.timeout(20):
        while reader.problem is not None:
            await reader.wait_change(5)
    with pytest.raises(LookupError):
        bench.new_reader().scorer_for(0.0)


async def test_the_publisher_refuses_what_could_not_count(bench):
    """A taken version, an unknown one, an activation in the past, a model without bytes: each with the way out."""
    await bench.publish(b"one")
    with pytest.raises(ConfigurationError, match="version 1 exists; next free is 2"):
        await bench.publish(b"two", version=1)
    with pytest.raises(ConfigurationError, match="next free is 2"):
        await bench.publish(b"two", version=0)
    with pytest.raises(ConfigurationError, match="published are: 1"):
        await bench.activate(9)
    with pytest.raises(ConfigurationError, match="the earliest is"):
        await bench.activate(1, at_s=time.time() + 1)
    with pytest.raises(ConfigurationError, match="0 bytes"):
        await bench.publish(b"")
    assert (await bench.publish(b"seven", version=7)).manifest.version == 7
    at_s = time.time() + 60
    assert (await bench.activate(7, at_s=at_s)).effective_from_s == at_s
    assert (await bench.publish(b"eight")).manifest.version == 8


async def test_a_publisher_whose_clock_is_behind_is_judged_by_the_brokers(bench):
    """Ten seconds behind: the first activation that it writes is too late, the next one stands."""
    await bench.publish(b"one", activate=True)
    activation = await bench.activate(1, now_s=time.time() - 10)
    timeline = await read_models(bench.bootstrap, bench.topics, bench.pipeline)
    assert activation.sequence == 3
    assert timeline.standing(activation.sequence).on_time
    assert not timeline.standing(2).on_time


async def test_a_publication_that_fails_leaves_nothing_to_be_seen(bench):
    """When the upload breaks off, neither the manifest nor a chunk is ever read."""

    def give_up(done, _):
        if done > 600_000:
            raise RuntimeError("the cable was pulled")

    with pytest.raises(RuntimeError, match="cable"):
        await bench.publish(b"x" * 2_000_000, progress=give_up)
    assert (await read_models(bench.bootstrap, bench.topics, bench.pipeline)).releases == {}
    assert (await bench.publish(b"y")).manifest.version == 1


async def test_a_missing_topic_and_a_missing_broker_are_told_apart(bench, unique, monkeypatch):
    """The one is a fault of the setting up, the other of the moment; both name what they looked for."""
    bench.topics = topics_of(unique())
    with pytest.raises(ConfigurationError, match="does not exist"):
        await bench.new_reader().start()
    with pytest.raises(ConfigurationError, match="does not exist"):
        await bench.publish(b"one")
    monkeypatch.setattr(reader_module, "START_TIMEOUT_S", 2.0)
    bench.bootstrap = "127.0.0.1:1"
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        await bench.new_reader().start()
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        await bench.publish(b"one")
