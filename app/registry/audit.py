"""What a worker says on `model-events` about releases and activations, each thing once."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING

import msgspec

from app.records import ModelEvent
from app.registry.entries import Ignored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.errors import RejectedRelease
    from app.registry.entries import Notice
    from app.registry.timeline import InForce

log = logging.getLogger(__name__)

_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_DRAIN_S = 2.0


class Audit:
    """Hands events to *report* one after another, in order, and tries again while it raises."""

    def __init__(
        self,
        report: Callable[[ModelEvent], Awaitable[None] | None],
        *,
        pipeline: str,
        worker: str,
        clock: Callable[[], float],
    ) -> None:
        self._report = report
        self._pipeline = pipeline
        self._worker = worker
        self._clock = clock
        self._queue: asyncio.Queue[ModelEvent] = asyncio.Queue()
        self._said: set[tuple[str, int]] = set()
        self.problem: str | None = None
        """Why the last event could not be reported yet."""

    def accepted(self, version: int) -> None:
        """The release can serve."""
        if self._first_time("accepted", version):
            self._say(self._event("accepted", version=version))

    def refused(self, version: int, refusal: RejectedRelease) -> None:
        """The release cannot serve, for every worker alike."""
        if self._first_time("refused", version):
            self._say(self._event("refused", version=version, reason=refusal.refusal, error=str(refusal)))

    def activated(self, in_force: InForce) -> None:
        """The wall clock has passed the point from which the version is in force."""
        if self._first_time("activated", in_force.sequence):
            self._say(self._event("activated", version=in_force.version, sequence=in_force.sequence))

    def without_effect(self, notice: Notice, *, offset: int) -> None:
        """The record at *offset* of `models` has no effect."""
        if self._first_time("without effect", offset):
            event = "ignored" if isinstance(notice.reason, Ignored) else "refused"
            told = self._event(event, version=notice.version, reason=notice.reason, error=notice.error)
            self._say(msgspec.structs.replace(told, sequence=notice.sequence))

    def _first_time(self, what: str, number: int) -> bool:
        first = (what, number) not in self._said
        self._said.add((what, number))
        return first

    def _event(
        self,
        event: str,
        *,
        version: int | None,
        sequence: int | None = None,
        reason: str | None = None,
        error: str | None = None,
    ) -> ModelEvent:
        return ModelEvent(
            event=event,
            pipeline=self._pipeline,
            at=self._clock(),
            worker=self._worker,
            version=version,
            sequence=sequence,
            reason=reason,
            error=error,
        )

    def _say(self, event: ModelEvent) -> None:
        level = logging.WARNING if event.event in ("refused", "ignored") else logging.INFO
        log.log(level, "%s: %s", event.event, msgspec.json.encode(event).decode())
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Report what comes, until cancelled."""
        while True:
            event = await self._queue.get()
            await self._deliver(event)
            self._queue.task_done()

    async def drain(self) -> None:
        """Wait a moment for what is still queued."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._queue.join()
        except TimeoutError:
            log.warning("%d model events could not be reported: %s", self._queue.qsize(), self.problem)

    async def _deliver(self, event: ModelEvent) -> None:
        attempt = 0
        while True:
            try:
                answer = self._report(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:  # noqa: BLE001 - whatever ails the reporting, serving must go on and the event stays queued
                self.problem = f"cannot report {event.event} on model-events: {error!r}"
                log.warning("%s", self.problem)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                self.problem = None
                return
