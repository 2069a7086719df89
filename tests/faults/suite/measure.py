"""What workers take while they live: memory, and disk for what they remember."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from tests.workers import WorkerProcess

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LEDGER = "ledger"
"""The folder of a worker's state that holds one ledger for each partition."""


class Peaks:
    """The most of everything that was seen so far."""

    def __init__(self) -> None:
        self.rss_bytes = 0
        """That one worker took."""
        self.disk_bytes = 0
        """Of the whole state of all workers."""
        self.ledger_bytes = 0
        """Of one ledger: what one worker remembers of one partition."""

    def look(self, workers: Iterable[WorkerProcess], state: Path) -> None:
        """Take what there is now into account."""
        for worker in workers:
            with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended
                self.rss_bytes = max(self.rss_bytes, resident_bytes(worker))
        total, by_ledger = disk_bytes(state)
        self.disk_bytes = max(self.disk_bytes, total)
        self.ledger_bytes = max(self.ledger_bytes, *by_ledger.values(), 0)


def resident_bytes(worker: WorkerProcess) -> int:
    """The memory that it takes now."""
    return int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def disk_bytes(state: Path) -> tuple[int, dict[Path, int]]:
    """What a folder of state takes, in all and each of its ledgers by its folder."""
    total, by_ledger = 0, dict[Path, int]()
    for folder, _, names in os.walk(state):
        at = Path(folder)
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                size = (at / name).stat().st_size
                total += size
                if LEDGER in at.relative_to(state).parts:
                    by_ledger[at] = by_ledger.get(at, 0) + size
    return total, by_ledger
