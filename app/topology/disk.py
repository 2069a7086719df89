"""How much disk the ledgers take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.metrics import Metrics


class DiskWatch:
    """Measures the directories of a pipeline's ledgers, once in a while.

    partitions: those whose ledger is open now; path_of: where the ledger of a partition lies.
    """

    def __init__(
        self, pipeline: str, partitions: Callable[[], Iterable[int]], path_of: Callable[[int], Path], metrics: Metrics
    ) -> None:
        self._pipeline = pipeline
        self._partitions = partitions
        self._path_of = path_of
        self._metrics = metrics

    async def measure(self) -> None:
        """Set the metric: a `stat` for each of some ten files a ledger."""
        for partition in self._partitions():
            self._metrics.ledger_disk(self._pipeline, partition, size_of(self._path_of(partition)))


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
