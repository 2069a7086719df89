"""A worker's view of its pipeline's models: follows `models`, keeps the scorers that are needed loaded.

The scoring side asks `needs` before each batch - cheap, no waiting - and `scorer_for` once `needs` says None.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, Generic

from app.registry.admission import Admission
from app.registry.audit import Audit
from app.registry.chunks import DEFAULT_MAX_MODEL_BYTES
from app.registry.follow import TopicFollower
from app.registry.loading import Load, ModelLoader
from app.registry.shelf import Scorer
from app.registry.status import status_of
from app.registry.stock import ScorerStock
from app.registry.timeline import LEAD_S, InForce, Timeline, Undecided, Validity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka import ConsumerRecord

    from app.records import ModelEvent, Topics
    from app.registry.cache import ModelCache

log = logging.getLogger(__name__)

FUTURE_S = 60.0
"""A record further ahead of the worker's clock is not waited for."""
CLOCK_MARGIN_S = 0.5
"""How far a worker's clock may be ahead of the brokers' before two workers could disagree."""
START_TIMEOUT_S = 30.0


def is_future(t_s: float, now_s: float) -> bool:
    """Whether a record with Kafka timestamp *t_s* is scored without waiting for the reader to have seen that far.

    >>> is_future(160.5, now_s=100.0), is_future(160.0, now_s=100.0)
    (True, False)
    """
    return t_s > now_s + FUTURE_S


class ModelReader(Generic[Scorer]):
    """Releases, activations and loaded scorers of one pipeline, for one worker process and one event loop.

    *load* runs in a thread. *report* gets every `accepted`, `refused`, `activated` and `ignored` event once. *clock*
    gives epoch seconds. *contract_sha256* is what a manifest that names a contract must name.
    """

    def __init__(  # noqa: PLR0913 - the topology binds them in one place
        self,
        bootstrap: str,
        topics: Topics,
        pipeline: str,
        load: Load[Scorer],
        cache: ModelCache,
        *,
        worker: str,
        report: Callable[[ModelEvent], Awaitable[None] | None],
        clock: Callable[[], float],
        contract_sha256: str | None = None,
        max_model_bytes: int = DEFAULT_MAX_MODEL_BYTES,
        lead_s: float = LEAD_S,
    ) -> None:
        self.timeline = Timeline(pipeline, lead_s=lead_s)
        self.topics = topics
        self.failed: BaseException | None = None
        """Why the reader has ended by itself; the worker cannot go on then."""
        self._clock = clock
        self._audit = Audit(report, pipeline=pipeline, worker=worker, clock=clock)
        self._follower = TopicFollower(bootstrap, topics.models, self, clock=clock)
        self._stock: ScorerStock[Scorer] = ScorerStock(
            self.timeline,
            ModelLoader(bootstrap, topics.model_bytes, cache=cache, load=load),
            admission=Admission(contract_sha256, max_model_bytes),
            audit=self._audit,
            clock=clock,
            changed=self._judged,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._unannounced = True
        self._announced_until_s = math.inf

    @property
    def fresh_as_of_s(self) -> float:
        """When the reader last knew all that stood on the topic, in epoch seconds; minus infinity for never."""
        return self._follower.fresh_as_of_s

    async def start(self) -> None:
        """Read the topic to its end, then follow it and load what is needed in the background.

        Raises ConfigurationError when the topic does not exist, BrokerError when it could not be read within
        `START_TIMEOUT_S`.
        """
        await self._follower.read_to_end(START_TIMEOUT_S)
        self._stock.only_newest()
        self._announced_until_s = self._clock()
        self._announce()
        for name, work in (
            ("follow", self._follower.run()),
            ("load", self._stock.run()),
            ("report", self._audit.run()),
        ):
            task = asyncio.create_task(work, name=f"{self.timeline.pipeline} model reader: {name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Stop following and loading; what is still to be reported gets a moment."""
        if self._tasks:
            await self._audit.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._follower.close()

    def needs(self, t_min_s: float, t_max_s: float, *, now_s: float, settled_s: float | None = None) -> str | None:
        """None when records with Kafka timestamps in [t_min_s, t_max_s] can be scored now, else why not yet.

        *settled_s* is the latest of those timestamps that is no future one (see `is_future`): the freshness rule
        applies up to there. Without it t_max_s is taken, or now_s when t_max_s is a future one. What is missing is
        being loaded from now on; `wait_change` tells when to ask again.
        """
        if self.failed is not None:
            return f"the model reader has ended: {self.failed!r}"
        if settled_s is None:
            settled_s = now_s if is_future(t_max_s, now_s) else t_max_s
        if self.fresh_as_of_s - CLOCK_MARGIN_S < settled_s - self.timeline.lead_s:
            return self._staleness()
        reason = None
        shelf = self._stock.shelf
        for answer in self.timeline.over(t_min_s, t_max_s):
            if answer is None:
                reason = reason or self._nothing_active()
            elif isinstance(answer, InForce) and answer.version in shelf:
                shelf.touch(answer.version, now_s=now_s)
            else:
                waiting = self._stock.ask(answer.version)
                reason = reason or waiting
        return reason

    def scorer_for(self, t_s: float) -> Scorer:
        """The scorer in force at Kafka timestamp *t_s*; LookupError unless `needs` said None for it."""
        answer = self.timeline.in_force(t_s)
        if isinstance(answer, InForce):
            return self._stock.shelf[answer.version]
        raise LookupError(f"no version of {self.timeline.pipeline} is in force at {t_s}: {answer}")

    async def wait_change(self, timeout_s: float) -> None:
        """Return when the answer of `needs` may have changed, after *timeout_s* at the latest."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            return

    @property
    def problem(self) -> str | None:
        """Why a record of this moment could not be scored now, for /readyz; None when it could."""
        now_s = self._clock()
        return self.needs(now_s, now_s, now_s=now_s)

    def status(self) -> dict[str, Any]:
        """The releases, activations and what is in force, as JSON-able values for /api/status."""
        return status_of(
            self.timeline,
            now_s=self._clock(),
            fresh_as_of_s=self.fresh_as_of_s,
            loaded=self._stock.shelf.versions,
            problem=self.problem,
            audit_problem=self._audit.problem,
        )

    def take(self, record: ConsumerRecord) -> None:
        """The next record of `models`, from the follower."""
        known = len(self.timeline.releases)
        notice = self.timeline.feed(record.offset, record.timestamp, record.key, record.value)
        if notice is not None:
            self._audit.without_effect(notice, offset=record.offset)
        if len(self.timeline.releases) > known:
            self._stock.admit(next(reversed(self.timeline.releases)))
        self._unannounced = True
        self._stock.wake()
        self._wake()

    def caught_up(self) -> None:
        """The end of `models` was seen, from the follower."""
        self._announce()
        self._wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failed = task.exception()
            log.error("%s ended: %r", task.get_name(), self.failed)
            self._wake()

    def _judged(self) -> None:
        """A release was accepted, refused, or could not be loaded."""
        self._unannounced = True
        self._announce()
        self._wake()

    def _announce(self) -> None:
        """Report what has become known: activations that never count, and those whose time has come."""
        if self._unannounced:
            self._unannounced = False
            for state in self.timeline.activations():
                if state.validity is Validity.IGNORED and state.notice is not None:
                    self._audit.without_effect(state.notice, offset=state.standing.offset)
        self._announce_turns()

    def _announce_turns(self) -> None:
        now_s = self._clock()
        for turn_s in [*self.timeline.turns_within(self._announced_until_s, now_s), now_s]:
            answer = self.timeline.in_force(turn_s)
            if isinstance(answer, Undecided):
                return
            if answer is not None:
                self._audit.activated(answer)
            self._announced_until_s = turn_s

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _staleness(self) -> str:
        seen = "has not been seen yet"
        if math.isfinite(self.fresh_as_of_s):
            seen = f"was last seen {self._clock() - self.fresh_as_of_s:.1f} s ago"
        outage = self._follower.outage
        return f"the end of {self.topics.models} {seen}" + (f": {outage}" if outage else "")

    def _nothing_active(self) -> str:
        if not self.timeline.releases:
            return f"no model has been published on {self.topics.models}"
        refusals = "; ".join(str(refusal) for refusal in self.timeline.refused.values())
        return f"no model is active on {self.topics.models}" + (f"; refused: {refusals}" if refusals else "")
