"""Noticing that a worker has come to a standstill: commits that do not move, and an event loop that does not turn.

    standing      in flight, not committed          readiness
    0 s           as ever                           ready
    limit / 2     the same batch, nothing moved     not ready, with the reason
    limit         still the same                    the worker ends; others take its partitions over

A partition that is held back for want of a model has nothing in flight, and one that waits for records neither.
Partitions that were assigned and do not open (no lane is taken, no table recovered) end the worker alike.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

import structlog
from faust.types import TP

from app.errors import FaustOnnxError

if TYPE_CHECKING:
    from app.transport.consumer import Consumer

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
_STEP_MAX_S = 2 * LOOK_EVERY_S
"""What a look counts for at most: a process that was stopped for an hour was not stuck for one."""


class CommitStuck(FaustOnnxError):
    """What the worker has begun has stood still for longer than `commit_stuck_s`."""


class Told(NamedTuple):
    """How a standstill is told of."""

    what: str
    advice: str


IN_FLIGHT = Told(
    "batches are in flight, but nothing was committed for",
    "Kafka does not take what the worker writes, or a model takes so long: look at the brokers and at "
    "`min.insync.replicas`, or give FAUST_ONNX_COMMIT_STUCK_S more than a batch takes. No record is lost: start the "
    "worker again",
)
OPENING = Told(
    "partitions were assigned, but are not open, and nothing of their changelogs was read for",
    "Kafka does not let the worker take its lanes, or does not give the changelogs: look at the brokers. No record is "
    "lost: start the worker again",
)
OPENING_LEAST_S = 30.0
"""Opening waits for coordinators, also where `commit_stuck_s` is meant for batches that take a second."""


class Standing(NamedTuple):
    """Where a partition stands that is not done with what it was given."""

    oldest: int | None
    """First offset of the oldest batch in flight."""
    committed: int
    """The offset that was committed last, 0 if none was."""

    def __str__(self) -> str:
        """Where a worker would go on that took the partition over."""
        return f"from offset {self.committed if self.oldest is None else self.oldest}"


def unfinished(consumer: Consumer, in_lanes: Collection[str]) -> dict[TP, Standing]:
    """The partitions with batches in flight, or with batches that are done and not committed.

    in_lanes: topics whose batches are committed in the moment they are done.
    """
    found = {}
    for tp, (oldest, done, committed) in consumer.standing().items():
        uncommitted = tp.topic not in in_lanes and done is not None and committed < done
        if oldest is not None or uncommitted:
            found[tp] = Standing(oldest, committed)
    return found


def unopened(consumer: Consumer, recovered: Mapping[TP, int]) -> dict[TP, Standing]:
    """The partitions that were assigned and are not open; any progress of any of them moves all of them.

    recovered: by changelog partition up to which offset it was read; where there is none, all that is assigned counts.
    """
    if not consumer.is_opening:
        return {}
    total = sum(recovered.values())
    places = recovered or dict.fromkeys(consumer.assignment(), 0)
    return {tp: Standing(max(0, offset), total) for tp, offset in places.items()}


class StuckWatch:
    """How long each partition has stood where it stands with something unfinished."""

    def __init__(
        self, limit_s: float, told: Told = IN_FLIGHT, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """limit_s: after which the worker has to end; clock: seconds that only go forward."""
        self.limit_s = limit_s
        self._words = told
        self._clock = clock
        self._looked_at_s = clock()
        self._stood: dict[TP, tuple[Standing, float]] = {}

    def look(self, unfinished: Mapping[TP, Standing]) -> None:
        """Take notice of what is *unfinished* now; CommitStuck if one of it has been so for too long."""
        now_s = self._clock()
        step_s = min(now_s - self._looked_at_s, _STEP_MAX_S)
        self._looked_at_s = now_s
        stood: dict[TP, tuple[Standing, float]] = {}
        for tp, standing in unfinished.items():
            before, stood_s = self._stood.get(tp, (None, 0.0))
            stood[tp] = standing, stood_s + step_s if before == standing else 0.0
        self._stood = stood
        if self._longest_s() >= self.limit_s:
            raise CommitStuck(f"{self._told()}. {self._words.advice}")

    def reason(self) -> str | None:
        """Why the worker is not ready, from half of the limit on."""
        return self._told() if self._longest_s() >= self.limit_s / 2 else None

    def _longest_s(self) -> float:
        return max((stood_s for _, stood_s in self._stood.values()), default=0.0)

    def _told(self) -> str:
        longest_s = self._longest_s()
        places = [
            f"{tp.topic}-{tp.partition} {standing}"
            for tp, (standing, stood_s) in sorted(self._stood.items())
            if stood_s >= self.limit_s / 2
        ]
        return f"{self._words.what} {longest_s:.0f} s: {', '.join(places)}"


class LoopWatch:
    """Ends the process when the event loop has not turned for *limit_s*: nobody else could tell of it then."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._silent_s = 0.0
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to watch, in a thread."""
        threading.Thread(target=self._watch, name="loop watch", daemon=True).start()

    def turned(self) -> None:
        """The loop turns."""
        self._silent_s = 0.0

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._silent_s += LOOK_EVERY_S
            if self._silent_s >= self._limit_s:
                faulthandler.dump_traceback()
                log.critical(
                    "the worker cannot go on",
                    error=f"its event loop has not turned for {self._limit_s:.0f} s; where it stands is above",
                )
                os._exit(1)
