"""Whole workers on a real broker, with models that are swapped, refused and missing, judged by the verifier."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.fault]


async def settled(worker, pipeline, *, n_features, read_all, eventually):
    """Wait until every feature record has an outcome and the feedback has caught up with both of its topics."""
    topics = pipeline.topics

    async def all_scored():
        return len(await pipeline.outcomes(read_all)) >= n_features

    await eventually(all_scored, deadline_s=60, every_s=0.3)

    async def all_counted():
        ends = {}
        for topic in (topics.predictions, topics.labels):
            for record in await read_all(topic):
                ends[topic, record.partition] = record.offset + 1
        positions = {}
        for partition, told in (await pipeline.ledgers(read_all)).items():
            positions[topics.predictions, partition] = told["positions"]["predictions"]
            positions[topics.labels, partition] = told["positions"]["labels"]
        return all(positions.get(tp, 0) >= end for tp, end in ends.items())

    await eventually(all_counted, deadline_s=60, every_s=0.3)
    return worker


async def test_a_run_without_faults_has_exactly_one_outcome_for_each_record(pipeline, rng, read_all, eventually):
    """Scored, joined and counted; the verifier finds each record predicted or dead-lettered exactly once."""
    one = pipeline()
    await one.create()
    await one.publish()
    worker = await one.start_worker().ready()
    await one.feed(1500, rng=rng)
    await settled(worker, one, n_features=1500, read_all=read_all, eventually=eventually)
    await one.verify("--no-faults")

    status, performance = await worker.get(f"/api/performance?pipeline={one.name}")
    assert status == 200
    assert performance["total"]["predicted"] > 1400
    assert 0 < performance["total"]["coverage"] <= 1
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0


async def test_versions_are_swapped_under_load_at_one_point_of_the_stream(pipeline, rng, read_all, eventually):
    """Five activations under load: no record is lost or doubled, and each is scored by the version in force at it."""
    one = pipeline()
    await one.create()
    await one.publish()
    worker = await one.start_worker().ready()
    for n in range(2, 5):
        await one.publish(weights=(float(n), -1.0), activate=False)
    feeding = asyncio.ensure_future(one.feed(5000, rng=rng, per_s=400))
    for version in (2, 3, 4, 1, 3):
        activation = await one.activate(version)
        await asyncio.sleep(max(0.0, activation.effective_from_s - time.time() - 1.0))
    await feeding
    await settled(worker, one, n_features=5000, read_all=read_all, eventually=eventually)
    await one.verify("--no-faults")
    versions = {json.loads(record.value)["version"] for record in await read_all(one.topics.predictions)}
    assert versions == {1, 2, 3, 4}


async def test_a_broken_release_is_refused_and_the_old_one_serves_on(pipeline, rng, read_all, eventually):
    """A file that is no ONNX is published and activated: it is refused with a reason, and nothing else changes."""
    one = pipeline()
    await one.create()
    await one.publish()
    worker = await one.start_worker().ready()
    await one.feed(200, rng=rng)
    await one.publish(model=b"this is not a model")

    async def refused():
        events = [json.loads(record.value) for record in await read_all(one.topics.model_events)]
        return [e for e in events if e["event"] == "refused" and e["version"] == 2]

    assert (await eventually(refused))[0]["reason"] == "not_onnx"
    await asyncio.sleep(3.0)  # past the point from which it would have been in force
    await one.feed(200, rng=rng)
    await settled(worker, one, n_features=400, read_all=read_all, eventually=eventually)
    await one.verify("--no-faults")
    assert {json.loads(r.value)["version"] for r in await read_all(one.topics.predictions)} == {1}


async def test_records_wait_in_kafka_until_a_model_is_active(pipeline, rng, read_all, eventually):
    """A worker without a model holds its partitions back, says why, lets others join, and scores all afterwards."""
    one = pipeline()
    await one.create()
    first, second = one.start_worker(), one.start_worker()
    await one.feed(300, rng=rng)
    await eventually(lambda: first.ready_file.exists() or "partitions assigned" in first.log.read_text(), deadline_s=60)
    await one.publish()
    await first.ready()
    await second.ready()
    await settled(first, one, n_features=300, read_all=read_all, eventually=eventually)
    await one.verify("--no-faults")


async def test_a_spare_worker_is_healthy(pipeline):
    """With more workers than partitions the spare one is ready and answers for the whole pipeline."""
    one = pipeline(partitions=1)
    await one.create()
    await one.publish()
    await one.start_worker().ready()
    spare = await one.start_worker().ready()

    assert (await spare.get("/readyz"))[0] == 200
    assert (await spare.get("/healthz"))[0] == 200
    assert (await spare.get(f"/api/performance?pipeline={one.name}"))[0] == 200
