"""The metric of misplaced labels: what it counts, what it costs, and how often it is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from app import keys as keys_module
from app.keys import partition_of
from app.metrics import Metrics
from app.topology.placement import KEY_BYTES_MAX, SAMPLE_MAX, PlacementWatch

N = 4


def watch_of(metrics, *, join="keyed", n_partitions=N):
    """A watch over a pipeline."""
    contract = SimpleNamespace(name="fraud", join=join, topics=SimpleNamespace(labels="fraud.labels"))
    return PlacementWatch(contract, metrics, n_partitions=n_partitions)


@pytest.fixture(name="metrics")
def _metrics():
    metrics = Metrics()
    metrics.serve("fraud", n_classes=2)
    return metrics


def counted(metrics):
    """Labels checked and misplaced."""
    names = ("faust_onnx_labels_checked_total", "faust_onnx_labels_misplaced_total")
    return tuple(metrics.registry.get_sample_value(name, {"model": "fraud"}) for name in names)


def batch(keys, partition=0, topic="fraud.labels"):
    """A batch of labels, from offset 0."""
    records = [SimpleNamespace(key=key, offset=offset) for offset, key in enumerate(keys)]
    return SimpleNamespace(topic=topic, partition=partition, records=records)


def keys_for(partition, n):
    """Keys that belong to a partition."""
    found = (b"user-%d" % number for number in range(10_000))
    return [key for key in found if partition_of(key, N) == partition][:n]


def test_labels_where_their_key_belongs_are_not_misplaced(metrics):
    """Of a good batch all are checked and none is misplaced."""
    watch_of(metrics).look(batch(keys_for(0, 50)))

    assert counted(metrics) == (50, 0)


def test_foreign_and_missing_keys_are_misplaced(metrics):
    """Keys of other partitions and null keys count."""
    watch_of(metrics).look(batch([*keys_for(0, 10), *keys_for(1, 5), None, None]))

    assert counted(metrics) == (17, 7)


def test_a_partition_is_warned_of_once(metrics):
    """The log names partition and command once, however many batches follow."""
    watch = watch_of(metrics)
    with capture_logs() as logs:
        for partition in (0, 1, 0, 1):
            watch.look(batch([None, *keys_for(2, 3)], partition))

    assert [(each["partition"], each["without_key"], each["not_by_murmur2"]) for each in logs] == [(0, 1, 3), (1, 1, 3)]
    assert {each["see"] for each in logs} == {"faust-onnx doctor --pipeline fraud"}


@pytest.mark.parametrize("n", [SAMPLE_MAX, SAMPLE_MAX + 1, 401, 4_000, 100_000])
def test_what_a_batch_costs_is_bounded(n, metrics, monkeypatch):
    """However large a batch is, no more than the sample is hashed, and at least half of that."""
    hashed = []
    real = keys_module.murmur2
    monkeypatch.setattr(keys_module, "murmur2", lambda key: hashed.append(key) or real(key))
    watch_of(metrics).look(batch([b"k"] * n))

    assert SAMPLE_MAX / 2 <= len(hashed) <= SAMPLE_MAX


def test_long_keys_are_left_alone(metrics):
    """A key of a megabyte would take a tenth of a second."""
    watch_of(metrics).look(batch([b"k" * (KEY_BYTES_MAX + 1)] * 3))

    assert counted(metrics) == (0, 0)


def test_only_labels_that_can_be_misplaced_are_watched(metrics):
    """Nothing is counted by id, with one partition, without records, or of predictions."""
    watch_of(metrics, join="by-id").look(batch([None]))
    watch_of(metrics, n_partitions=1).look(batch([None]))
    watch_of(metrics).look(batch([]))
    watch_of(metrics).look(batch([None], topic="fraud.predictions"))

    assert counted(metrics) == (0, 0)
