"""Work in a thread of its own for the length of a block."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """Does `work` beside the block; where the run is watched, `check` raises what it failed of."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        """Set when the block ends: `work` is to return."""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._thread.join()

    @abstractmethod
    def work(self) -> None:
        """What is done until it is done or `stopped` is set."""

    def check(self) -> None:
        """Raise the error that ended the work, if one did."""
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001  it is raised again where the run is watched
            self._error = error
