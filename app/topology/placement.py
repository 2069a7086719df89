"""A look at some labels of each batch: those that do not lie where their key belongs may never meet a prediction.

Only keys are looked at here, so that it costs little; `faust-onnx doctor` finds out by ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.keys import partition_of

if TYPE_CHECKING:
    from app.features import Contract
    from app.metrics import Metrics
    from app.transport import Batch

log = structlog.get_logger(__name__)

SAMPLE_MAX = 200
"""Labels of a batch that are looked at, at most."""
KEY_BYTES_MAX = 256
"""A longer key is left alone: hashing costs a quarter of a microsecond a word."""


class PlacementWatch:
    """Counts the labels of one pipeline that lie elsewhere, and warns once for each partition."""

    def __init__(self, contract: Contract, metrics: Metrics, *, n_partitions: int) -> None:
        """n_partitions: of the labels topic."""
        self._contract = contract
        self._metrics = metrics
        self._n_partitions = n_partitions
        self._warned: set[int] = set()
        self._is_needed = contract.join == "keyed" and n_partitions > 1

    def look(self, batch: Batch) -> None:
        """Look at a sample of a batch of labels; batches of other topics are left alone."""
        if not self._is_needed or batch.topic != self._contract.topics.labels or not batch.records:
            return
        labels = batch.records
        step = -(-len(labels) // SAMPLE_MAX)
        # Where the sample begins moves with the stream, so that no rhythm of the sender hides anything.
        sample = labels[labels[0].offset % step :: step]
        checked = no_key = elsewhere = 0
        for label in sample:
            if label.key is None:
                no_key += 1
            elif len(label.key) > KEY_BYTES_MAX:
                continue
            elif partition_of(label.key, self._n_partitions) != batch.partition:
                elsewhere += 1
            checked += 1
        self._metrics.labels_placed(self._contract.name, checked=checked, misplaced=no_key + elsewhere)
        if no_key + elsewhere:
            self._warn(batch.partition, checked, no_key, elsewhere)

    def _warn(self, partition: int, checked: int, no_key: int, elsewhere: int) -> None:
        if partition in self._warned:
            return
        self._warned.add(partition)
        log.warning(
            "labels may lie in another partition than their prediction and never be joined",
            topic=self._contract.topics.labels,
            partition=partition,
            checked=checked,
            without_key=no_key,
            not_by_murmur2=elsewhere,
            see=f"faust-onnx doctor --pipeline {self._contract.name}",
        )
