"""Arrow records through whole workers on a real broker: each row scored, joined and counted once, whatever dies."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaProducer

from tests.arrow_streams import rows_of, stream
from tests.programs import faust_onnx

pytestmark = pytest.mark.broker

N_ROWS = 400
ROWS_PER_BATCH = 150


def record_of(number, rng, name):
    """A record of rows of one user, every fortieth of them broken, and the ids of the good ones with their truth."""
    a, b = ([rng.uniform(-3, 3) for _ in range(N_ROWS)] for _ in "ab")
    broken = range(number % 40, N_ROWS, 40)
    for count, row in enumerate(broken):
        if count % 2:
            a[row] = 1000.0
        else:
            b[row] = None
    user = f"user-{number % 17}"
    table = {
        "id": [f"{name}-{number}-{row}" for row in range(N_ROWS)],
        "user": pa.array([user] * N_ROWS).dictionary_encode(),
        "at": [time.time()] * N_ROWS,
        "a": pa.array(a, pa.float32()),
        "b": b,
    }
    truth = {table["id"][row]: int(a[row] > b[row]) for row in range(N_ROWS) if row not in broken}
    return user.encode(), stream(table, rows_per_batch=ROWS_PER_BATCH), truth, table["at"][0]


class Sent:
    """What was sent so far."""

    def __init__(self):
        self.records = self.unreadable = 0
        self.labels = 0

    @property
    def events(self):
        """Rows, and records that cannot be read, each of which has an outcome."""
        return self.records * N_ROWS + self.unreadable


async def feed(pipeline, sent, n, rng, *, pause_s=0.0):
    """Send *n* records of rows, one in six of no Arrow at all, and labels of most rows."""
    topics, key_of_labels = pipeline.topics, not pipeline.contract.is_by_id
    async with AIOKafkaProducer(bootstrap_servers=pipeline.bootstrap, linger_ms=5, enable_idempotence=True) as producer:
        waiting = []
        for _ in range(n):
            key, value, truth, at = record_of(sent.records, rng, pipeline.name)
            sent.records += 1
            waiting.append(await producer.send(topics.features, value, key=key))
            if sent.records % 6 == 0:
                sent.unreadable += 1
                waiting.append(await producer.send(topics.features, value[: len(value) // 2], key=key))
            for id_, label in truth.items():
                if rng.random() < 0.8:
                    sent.labels += 1
                    said = json.dumps({"id": id_, "label": label, "at": at + rng.uniform(0, 29)}).encode()
                    waiting.append(await producer.send(topics.labels, said, key=key if key_of_labels else None))
            await asyncio.sleep(pause_s)
        await asyncio.gather(*waiting)


async def counted(pipeline, sent, read_all, eventually):
    """Wait until each event has an outcome and each label a state; the sums over the ledgers."""

    async def all_scored():
        return len(await pipeline.outcomes(read_all)) >= sent.events

    async def all_counted():
        sums = Counter()
        for told in (await pipeline.ledgers(read_all)).values():
            sums.update({name: n for name, n in told.items() if isinstance(n, int)})
            sums.update(predicted=sum(counts["predicted"] for counts in told.get("totals", {}).values()))
        states = ("pending", "joined", "expired", "orphan", "duplicate", "conflicting", "too_late")
        n_good = len(await pipeline.outcomes(read_all)) - len(await dead(pipeline, read_all))
        return sums if sum(sums[s] for s in states) >= sent.labels and sums["predicted"] >= n_good else None

    await eventually(all_scored, deadline_s=60, every_s=0.3)
    return await eventually(all_counted, deadline_s=60, every_s=0.3)


async def dead(pipeline, read_all):
    """The dead letters of feature records by the place of their event."""
    letters = {}
    for record in await read_all(pipeline.topics.dead_letters):
        headers = dict(record.headers)
        if headers["source-topic"].decode() == pipeline.topics.features:
            letters[headers["source-partition"], headers["source-offset"], headers.get("source-row")] = record
    return letters


@pytest.mark.parametrize("join", ["keyed", "by-id"])
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
async def test_each_row_is_scored_joined_and_counted_once(join, delivery, pipeline, rng, read_all, eventually):
    """Good rows are predicted and meet their labels, bad rows and unreadable records are told; the checker agrees."""
    one, sent = pipeline(encoding="arrow", join=join), Sent()
    await one.create()
    await one.publish()
    await one.start_worker(delivery=delivery).ready()
    await feed(one, sent, 20, rng)
    sums = await counted(one, sent, read_all, eventually)

    assert sums["joined"] == sent.labels
    assert sums["duplicate_prediction"] == 0
    await one.verify("--no-faults")

    letters = await dead(one, read_all)
    reasons = Counter(dict(letter.headers)["reason"].decode() for letter in letters.values())
    assert reasons == {"out_of_range": 100, "missing_feature": 100, "not_json": sent.unreadable}


async def test_a_bad_row_can_be_sent_again_alone(pipeline, rng, read_all, eventually):
    """Its dead letter is a record of one row: replayed it is judged anew, and its neighbours are not doubled."""
    one, sent = pipeline(encoding="arrow", partitions=1), Sent()
    await one.create()
    await one.publish()
    await one.start_worker().ready()
    await feed(one, sent, 2, rng)
    sums = await counted(one, sent, read_all, eventually)
    letters = await dead(one, read_all)
    flags = {"broker": one.bootstrap, "pipelines": one.name, "models_dir": one.models_dir}

    code, listed, _ = await faust_onnx("dead-letters", "list", "--json", **flags)
    assert code == 0
    assert {each["source_row"] for each in listed["dead_letters"]} == {int(row) for _, _, row in letters}
    (row_alone,) = rows_of(next(iter(letters.values())).value)
    assert row_alone["id"].startswith(f"{one.name}-")

    code, replayed, _ = await faust_onnx("dead-letters", "replay", "--all", "--json", **flags)
    assert (code, replayed["replayed"], replayed["refused"]) == (0, len(letters), [])
    expected = sent.events + len(letters)

    async def all_again():
        return len(await one.outcomes(read_all)) >= expected

    await eventually(all_again, deadline_s=60, every_s=0.3)
    await one.verify("--no-faults", "--allow-behind")
    again = (await counted(one, sent, read_all, eventually))["predicted"]
    assert again == sums["predicted"]


@pytest.mark.fault
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
async def test_rows_survive_the_death_of_their_worker(delivery, pipeline, rng, read_all, eventually):
    """Killed amid records of rows, with another that takes over: no row is lost, copies are known by their row."""
    one, sent = pipeline(encoding="arrow"), Sent()
    await one.create()
    await one.publish()
    first = await one.start_worker(delivery=delivery).ready()
    feeding = asyncio.ensure_future(feed(one, sent, 60, rng, pause_s=0.02))

    async def some_scored():
        return len(await one.outcomes(read_all)) > 2000

    await eventually(some_scored, deadline_s=60, every_s=0.1)
    first.signal(signal.SIGKILL)
    await first.wait()
    await one.start_worker(delivery=delivery).ready()
    await feeding
    sums = await counted(one, sent, read_all, eventually)

    assert sums["joined"] + sums["expired"] == sent.labels
    assert sums["duplicate_prediction"] == 0
    await one.verify("--delivery", delivery)
