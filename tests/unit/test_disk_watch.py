"""How much disk the ledgers take, as a metric."""

from __future__ import annotations

from app.feedback import RocksdictStore
from app.metrics import Metrics
from app.topology.disk import DiskWatch, size_of


def value(metrics, partition):
    """The gauge of a partition, None when there is none."""
    return metrics.registry.get_sample_value(
        "faust_onnx_ledger_disk_bytes", {"model": "fraud", "partition": str(partition)}
    )


async def test_open_ledgers_are_measured_and_forgotten_with_their_partition(tmp_path):
    """The gauge follows the files of a real store; a partition that went away has no series."""
    metrics = Metrics()
    store = RocksdictStore(tmp_path / "0")
    watch = DiskWatch("fraud", lambda: [0, 1], lambda n: tmp_path / str(n), metrics)

    await watch.measure()
    empty = value(metrics, 0)
    store.write({b"%8d" % n: b"v" * 1_000 for n in range(2_000)}, [])
    await watch.measure()
    full = value(metrics, 0)
    store.close()
    metrics.revoked("fraud", "fraud.predictions", 0)

    assert full - empty > 1_000_000
    assert (value(metrics, 0), value(metrics, 1), value(metrics, 2)) == (None, 0, None)


def test_a_folder_that_is_not_there_takes_nothing(tmp_path):
    """A ledger that was not opened yet, or was just deleted, is no fault."""
    assert size_of(tmp_path / "nothing") == 0
