"""`python -m verify` on real topics: green for a consistent pipeline, and each seeded violation is found."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests import programs
from tests import verify_hand_made as hand_made
from verify.read import KafkaLogs

pytestmark = pytest.mark.broker


@pytest.fixture(name="pipeline")
def _pipeline(unique, write_hand_made):
    """Write a hand-made pipeline, perhaps broken by *seed*, into topics of its own; returns it."""

    async def write(seed=None, *, transactional=False, compression=None):
        made = hand_made.HandMade(unique())
        if seed is not None:
            seed(made)
        options = {"transactional_id": unique("t")} if transactional else {}
        widths = {word: hand_made.N_PARTITIONS.get(word, 2) for word in hand_made.TOPICS}
        await write_hand_made(made, widths, compression_type=compression, **options)
        return made

    return write


@pytest.fixture(name="verify")
def _verify(bootstrap, tmp_path):
    """Run the command line on a pipeline: (exit code, report for people, report for machines)."""

    async def run(made, *flags, broker=bootstrap):
        return await programs.verify(broker, made.name, tmp_path, *flags, report_at=tmp_path / f"{made.name}.json")

    return run


async def test_a_consistent_pipeline_is_green(pipeline, verify):
    """Exit code 0, and both reports say that everything was judged."""
    code, text, report = await verify(await pipeline(), "--no-faults")

    assert (code, text.splitlines()[-1]) == (0, "all invariants hold"), text
    assert report["ok"] is True
    assert {name: check["checked"] for name, check in report["checks"].items()}["outcomes"] == 30
    assert not any(check["violations"] for check in report["checks"].values())


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_transactions_and_codecs_are_read(codec, pipeline, verify):
    """Markers of transactions are no hole, and every codec is readable."""
    code, text, _ = await verify(await pipeline(transactional=True, compression=codec), "--no-faults")

    assert code == 0, text


async def test_what_was_aborted_is_no_outcome(pipeline, verify, bootstrap, unique):
    """A prediction of an aborted transaction counts for nothing, neither as a copy nor in the tallies."""
    made = await pipeline()
    copy = made.records["predictions", 0][0]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=unique("t")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(copy.topic, copy.value, key=copy.key, partition=0, headers=list(copy.headers))
        await producer.abort_transaction()

    code, text, _ = await verify(made, "--no-faults")

    assert code == 0, text


@pytest.mark.parametrize("check", sorted({check for check, _ in hand_made.SEEDS.values()}))
async def test_every_violation_in_real_topics_is_found(check, pipeline, verify):
    """Each seed of a check gives exit code 1, and the violation is told with its kind and coordinates."""
    kinds = {seed: kind for seed, (of_check, kind) in hand_made.SEEDS.items() if of_check == check}

    async def judge(seed):
        return await verify(await pipeline(seed), "--no-faults")

    verdicts = await asyncio.gather(*map(judge, kinds))  # side by side: most of it is waiting
    for (seed, kind), (code, text, report) in zip(kinds.items(), verdicts, strict=True):
        found = report["checks"][check]
        assert (seed.__name__, code) == (seed.__name__, 1), text
        assert found["found"][kind] >= 1, text
        assert any(violation["kind"] == kind and violation["where"] for violation in found["violations"])
        assert f"{check}: {kind}:" in text


async def test_only_what_is_committed_must_have_an_outcome(pipeline, verify, bootstrap, unique):
    """With --committed-only a record at or above the group's committed offset may still wait."""
    made = await pipeline(hand_made.lose_event)
    topic, group = f"{made.name}.features", unique("app")
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    async with consumer:
        consumer.assign([TopicPartition(topic, number) for number in (0, 1)])
        await consumer.commit({TopicPartition(topic, 0): 19, TopicPartition(topic, 1): 10})
    flags = ("--without-feedback", "--app-id", group)

    waiting = await verify(made, *flags, "--committed-only")
    lost = await verify(made, *flags)

    assert waiting[0] == 0, waiting[1]
    assert (lost[0], lost[2]["checks"]["outcomes"]["found"]) == (1, {"lost": 1})


async def test_what_cannot_be_judged_is_neither_green_nor_red(pipeline, verify):
    """Exit code 2 where the broker is away, a topic is missing or the contract cannot be read."""
    made = await pipeline()
    away = await verify(made, broker="127.0.0.1:1")
    made.name = "nobody"
    no_contract = await verify(made)

    assert (away[0], no_contract[0]) == (2, 2)
    assert "cannot read from the broker 127.0.0.1:1" in away[1]
    assert away[2]["ok"] is None
    assert "contract.toml: cannot be read" in no_contract[1]


async def test_a_copy_is_a_violation_with_exactly_once_alone(pipeline, verify):
    """What redelivery may double with at_least_once, and count as a copy, it may not with exactly_once."""
    made = await pipeline(hand_made.double_event)

    allowed = await verify(made, "--allow-behind", "--delivery", "at_least_once")
    judged = await verify(made, "--allow-behind", "--delivery", "exactly_once")

    assert (allowed[0], allowed[2]["facts"]["copies"]) == (0, 1), allowed[1]
    assert (judged[0], judged[2]["checks"]["outcomes"]["found"]) == (1, {"doubled": 1}), judged[1]


async def test_the_dead_letter_of_a_label_is_never_doubled(pipeline, verify):
    """Labels are counted and refused in transactions whatever the delivery."""
    made = await pipeline(hand_made.label_letter_twice)

    verdicts = [await verify(made, "--delivery", delivery) for delivery in ("at_least_once", "exactly_once")]
    unknown = await verify(made)

    assert [code for code, _, _ in verdicts] == [1, 1]
    assert all(report["checks"]["labels"]["found"] == {"doubled": 1} for _, _, report in verdicts)
    assert unknown[0] == 0, unknown[1]


async def test_a_transaction_that_never_ends_is_found_wherever_it_holds_readers_up(
    pipeline, verify, bootstrap, unique, create_topics
):
    """Each partition that it wrote to is named: the pipeline's, the table's changelog, and committed offsets."""
    made, app_id = await pipeline(), unique("app")
    changelog = f"{app_id}-{made.name}-tallies-changelog"
    await create_topics({changelog: (2, {})})
    flags = ("--delivery", "at_least_once", "--app-id", app_id, "--settle-seconds", "1")
    words = ("predictions", "dead-letters", "performance")
    before = await verify(made, *flags)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=unique("t")) as producer:
        await producer.begin_transaction()
        for topic in (*(f"{made.name}.{word}" for word in words), changelog):
            await producer.send_and_wait(topic, b"never committed", partition=0)
        await producer.send_offsets_to_transaction({TopicPartition(f"{made.name}.features", 0): 3}, app_id)
        during = await verify(made, *flags)
        await producer.abort_transaction()
    after = await verify(made, *flags)

    assert (before[0], after[0]) == (0, 0), before[1] + after[1]
    assert before[2]["checks"]["transactions"]["checked"] > 10
    found = during[2]["checks"]["transactions"]
    named = {violation["where"].split("@")[0] for violation in found["violations"]}
    ours = {f"{made.name}.{word}[0]" for word in words} | {f"{changelog}[0]"}
    assert (during[0], named & ours) == (1, ours), during[1]
    assert any(each.startswith("__consumer_offsets[") for each in named - ours), named
    assert len(named) == len(ours) + 1
    assert f"{made.name}.predictions[0]@{made.end(f'{made.name}.predictions', 0)}" in during[1]


async def test_an_outcome_without_its_committed_offset_is_found(pipeline, verify, bootstrap, unique):
    """Exactly once an outcome and its record's offset are one transaction: neither stands alone."""
    made, group = await pipeline(), unique("app")
    topic = f"{made.name}.features"
    flags = ("--delivery", "exactly_once", "--app-id", group)
    nothing = await verify(made, *flags)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in (0, 1)])
        await consumer.commit({TopicPartition(topic, 0): 19, TopicPartition(topic, 1): 10})
        behind = await verify(made, *flags)
        await consumer.commit({TopicPartition(topic, 0): 20})
    level = await verify(made, *flags)

    assert nothing[2]["checks"]["transactions"]["found"] == {"not_committed": 2}, nothing[1]
    assert (behind[0], level[0]) == (1, 0), behind[1] + level[1]
    (violation,) = behind[2]["checks"]["transactions"]["violations"]
    assert (violation["kind"], violation["where"]) == ("not_committed", f"{topic}[0]@19")


async def test_a_transaction_under_way_is_waited_for(pipeline, verify, bootstrap, unique):
    """A transaction that ends while the verifier looks is none that hangs, and what it wrote is judged."""
    made = await pipeline()
    copy = made.records["predictions", 0][0]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=unique("t")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(copy.topic, copy.value, key=copy.key, partition=0, headers=list(copy.headers))
        judging = asyncio.create_task(verify(made, "--delivery", "exactly_once", "--settle-seconds", "60"))
        await asyncio.sleep(3)
        assert not judging.done()
        await producer.commit_transaction()
    code, text, report = await judging

    assert report["checks"]["transactions"]["found"] == {}, text
    assert (code, report["checks"]["outcomes"]["found"]) == (1, {"doubled": 1}), text


async def test_partitions_may_be_read_side_by_side_and_again(pipeline, bootstrap):
    """One consumer reads them all: several logs at a time, in part, and from the start once more."""
    made = await pipeline(transactional=True)
    topic = f"{made.name}.features"

    def read():
        with KafkaLogs(bootstrap, [topic]) as logs:
            one, other = logs.records(topic, 0), logs.records(topic, 1)
            mixed = [next(one).offset, next(other).offset, next(one).offset]
            with pytest.raises(RuntimeError, match="being read already"):
                next(logs.records(topic, 0))
            one.close()
            rest = [record.offset for record in other]
            return mixed, rest, [record.offset for record in logs.records(topic, 0)]

    mixed, rest, again = await asyncio.to_thread(read)

    assert mixed == [0, 0, 1]
    assert (rest, again) == (list(range(1, 10)), list(range(20)))
