"""A worker tells of labels that lie in another partition than their prediction, and of the disk its ledgers take."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from app.keys import partition_of
from app.topology.placement import SAMPLE_MAX

pytestmark = pytest.mark.broker

N = 3
N_LABELS = 150
assert N_LABELS <= SAMPLE_MAX  # however they come in batches, each of them is looked at


async def samples(worker):
    """What /metrics says: (name, labels) -> value."""
    _, text = await worker.get("/metrics")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_labels_by_another_partitioner_are_counted_and_told_once(pipeline, eventually, read_all, rng):
    """Labels of confluent-kafka's default partitioner count as misplaced, and the log points to the doctor."""
    pipeline = pipeline(partitions=N)
    await pipeline.create()
    await pipeline.publish()
    worker = await pipeline.start_worker(log_format="json").ready()
    await pipeline.feed(300, rng=rng, labels=0.0)
    producer = Producer({"bootstrap.servers": pipeline.bootstrap})
    for number in range(N_LABELS):
        value = json.dumps({"id": f"{pipeline.name}-{number}", "label": 1})
        producer.produce(pipeline.topics.labels, value, key=f"user-{number % 17}")
    assert producer.flush(20) == 0
    records = await read_all(pipeline.topics.labels)
    misplaced = Counter(r.partition for r in records if partition_of(r.key, N) != r.partition)
    model = ("model", pipeline.name)

    async def checked():
        return (await samples(worker))["faust_onnx_labels_checked_total", model] >= N_LABELS

    await eventually(checked)
    seen = await samples(worker)
    assert misplaced.total() > 0
    assert seen["faust_onnx_labels_checked_total", model] == N_LABELS
    assert seen["faust_onnx_labels_misplaced_total", model] == misplaced.total()
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if "labels may lie" in line]
    assert Counter(line["partition"] for line in lines) == dict.fromkeys(misplaced, 1)
    assert {line["see"] for line in lines} == {f"faust-onnx doctor --pipeline {pipeline.name}"}

    async def measured():
        sizes = await samples(worker)
        return all(
            sizes.get(("faust_onnx_ledger_disk_bytes", model, ("partition", str(partition))), 0) > 0
            for partition in range(N)
        )

    await eventually(measured)
