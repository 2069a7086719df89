"""Which process a connection is of, from what Linux tells in /proc."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from tests.workers import WorkerProcess

_LOCAL, _INODE = 1, 9
"""Columns of /proc/net/tcp."""


def owner_of(port: int, workers: Iterable[WorkerProcess]) -> WorkerProcess | None:
    """The one of *workers* that has a connection from the local *port*; None if none of them has."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[_INODE] for row in rows if int(row[_LOCAL].rpartition(":")[2], 16) == port}
    wanted = {f"socket:[{inode}]" for inode in inodes if inode != "0"}
    return next((worker for worker in workers if wanted & set(_files(worker.process.pid))), None)


def _files(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):  # it has ended
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(entry.readlink()))
    return found
