"""How much disk the ledgers take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faust.types import TP

    from app.metrics import Metrics


class DiskWatch:
    """Measures the directories of the ledgers of the assigned partitions, once in a while.

    assigned: the partitions that this worker has; stores: by pipeline, the topic whose partitions have a ledger each,
    and where it lies.
    """

    def __init__(
        self,
        assigned: Callable[[], Iterable[TP]],
        stores: Mapping[str, tuple[str, Callable[[int], Path]]],
        metrics: Metrics,
    ) -> None:
        self._assigned = assigned
        self._stores = stores
        self._metrics = metrics

    async def measure(self) -> None:
        """Set the metric: a `stat` for each of some ten files a ledger."""
        assigned = list(self._assigned())
        for pipeline, (topic, path_of) in self._stores.items():
            for tp in assigned:
                if tp.topic == topic:
                    self._metrics.ledger_disk(pipeline, tp.partition, size_of(path_of(tp.partition)))


def size_of(folder: Path) -> int:
    """Bytes that the files directly in *folder* take on disk; 0 without a folder. Files may come and go meanwhile."""
    try:
        with os.scandir(folder) as entries:
            return sum(_size(entry) for entry in entries)
    except FileNotFoundError:
        return 0


def _size(entry: os.DirEntry[str]) -> int:
    try:
        # Blocks, not length: RocksDB sets space aside for its log.
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0
