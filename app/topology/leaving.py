"""Leaving in time: told to stop, a worker finishes and commits what it began within ten seconds, or says what is left.

    SIGTERM ---- agents finish what they began (Limits.settle_s) ---- commit ---- leave the group ---- exit
       |                                                                                               |
       +------------------------------------- DRAIN_S: exit, whatever it is waiting for ---------------+

What is left is no loss: it was not committed, so that the next worker reads it again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

import structlog
from faust.types import TP

from app.topology.stuck import Standing

log = structlog.get_logger(__name__)

DRAIN_S = 9.0
"""From the signal to the end of the process at the latest; the last of the ten seconds is for the machine."""


class Leaving:
    """The way of a worker out of the door, once it was told to stop."""

    def __init__(self, unfinished: Callable[[], Mapping[TP, Standing]], *, drain_s: float = DRAIN_S) -> None:
        """unfinished: partitions with batches that are not done or not committed."""
        self._unfinished = unfinished
        self._drain_s = drain_s
        self._begun = False
        self._told = False
        self.left: list[str] = []
        """What was begun and not committed, once that is certain."""

    def begin(self) -> None:
        """The worker was told to stop: from now on its time is bounded."""
        if self._begun:
            return
        self._begun = True
        log.info("told to stop: finishing what was begun", within_s=self._drain_s)
        timer = threading.Timer(self._drain_s, self._end)
        timer.daemon = True
        timer.start()

    def settled(self) -> None:
        """The agents have finished and what is done was committed, or none of it will be any more."""
        self.left = [f"{tp.topic}-{tp.partition} {standing}" for tp, standing in sorted(self._unfinished().items())]
        if self.left and not self._told:
            self._told = True
            log.error("stopped before all that was begun was committed; the next worker does it again", left=self.left)

    def _end(self) -> None:
        """In a thread of its own, since nobody knows what the others are waiting for."""
        try:
            self.settled()
        except Exception as error:  # noqa: BLE001  the loop's own state, seen from another thread
            self.left = [repr(error)]
        log.warning("did not end in time, so it ends now", after_s=self._drain_s, left=self.left)
        os._exit(1 if self.left else 0)
