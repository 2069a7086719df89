"""A folder of local state for this process alone, although several workers may be given the same `state_dir`."""

from __future__ import annotations

import fcntl
import itertools
import os
from pathlib import Path
from typing import IO

from app.errors import ConfigurationError


class StateSlot:
    """The first of `<state_dir>/worker-0`, `worker-1`, ... that no living process has; held while this one lives.

    A worker that comes back after a crash finds its own state again; the lock went with the process.
    """

    def __init__(self, state_dir: Path) -> None:
        """Raises ConfigurationError when the folder cannot be written."""
        for number in itertools.count():
            self.path = state_dir / f"worker-{number}"
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock = (self.path / "lock").open("a+")
                locked = _locked(lock)
            except OSError as error:
                raise ConfigurationError(
                    f"FAUST_ONNX_STATE_DIR={state_dir}: cannot be written ({error.strerror}); "
                    "give a folder of the worker's own, for example FAUST_ONNX_STATE_DIR=/var/lib/faust-onnx"
                ) from error
            if locked:
                self._lock = lock
                break
            lock.close()

    def ledger(self, cluster_id: str, app_id: str, pipeline: str, partition: int) -> Path:
        """Where the ledger of a partition lies; offsets mean something within one cluster and group only."""
        return self.path / "ledger" / cluster_id / app_id / pipeline / str(partition)

    def close(self) -> None:
        """Leave the folder to others."""
        self._lock.close()


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return True
