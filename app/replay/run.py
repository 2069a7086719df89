"""A replay from the first row to the last word on it: paces, sends, looks on, and gives up when nothing moves."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaProducer

from app.errors import ConfigurationError
from app.replay.batches import MAX_BATCH_BYTES, MAX_RECORD_BYTES
from app.replay.events import EventMaker, part
from app.replay.outcome import Outcome, versions_of
from app.replay.pace import Pace
from app.replay.stream import Stream
from app.replay.waiting import WaitingLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.features import Contract
    from app.replay.plan import Plan
    from app.replay.watch import Watch
    from app.tables import Table, TableBatch

SLICE_ROWS = 1_000
"""Rows that are made and sent in one go."""
AHEAD_MAX = 100_000
"""Events without an outcome beyond which a replay that waits for the workers sends no more for the time being."""
_TICK_S = 0.02
_LAST_LOOK_S = 0.5


class Standing(NamedTuple):
    """How far a replay is, for whoever looks on."""

    share_read: float
    events: int
    labels: int
    labels_waiting: int
    predicted: int
    dead: int
    joined: int


class Replay:
    """One replay of *table*; `stopping` ends it early."""

    def __init__(  # noqa: PLR0913, PLR0917  # what it is, where, and how it is looked at
        self,
        broker: str,
        contract: Contract,
        table: Table,
        plan: Plan,
        watch: Watch,
        counts: Mapping[str, int],
        *,
        until_joined: bool = False,
        silence_s: float = 60.0,
        show: Callable[[Standing], None] = lambda _: None,
    ) -> None:
        """watch: entered; counts: partitions by topic; silence_s: without any progress it is given up after so long."""
        self._producer_options: dict[str, Any] = {
            "bootstrap_servers": broker,
            "enable_idempotence": True,
            "max_batch_size": MAX_BATCH_BYTES,
            "max_request_size": MAX_BATCH_BYTES + MAX_RECORD_BYTES,
        }
        self._contract, self._table, self._plan, self._counts = contract, table, plan, counts
        self._watch, self._tracker = watch, watch.tracker
        self._until_joined, self._silence_s, self._show = until_joined, silence_s, show
        self._maker = EventMaker(contract, plan, is_text=table.is_text)
        self._pace = Pace(plan)
        self._latest_event_s = -math.inf
        self._start_s = 0.0
        self._rows = 0
        self._sending_seconds = 0.0
        self._share_read = 0.0
        self._moved: tuple[Any, float] = ((), 0.0)
        self.stopping = asyncio.Event()

    async def run(self) -> Outcome:
        """The outcome; raises BrokerError when Kafka refuses, ConfigurationError when the file cannot be read on."""
        began_s = time.monotonic()
        producer = AIOKafkaProducer(**self._producer_options)
        await producer.start()
        try:
            with WaitingLabels() as waiting:
                stream = Stream(
                    producer, self._contract, self._tracker, waiting, self._counts,
                    label_delay_s=self._plan.label_delay_s,
                )  # fmt: skip
                looking = asyncio.create_task(self._look_on(waiting), name="replay-watch")
                work = asyncio.create_task(self._work(stream, waiting), name="replay")
                try:
                    # Whichever ends first: nobody looks on for ever at a replay that failed, or sends unseen.
                    await asyncio.wait([looking, work], return_when=asyncio.FIRST_COMPLETED)
                    problem = await work if work.done() else None
                    if looking.done():
                        looking.result()
                finally:
                    for task in (looking, work):
                        task.cancel()
                    await asyncio.wait([looking, work])
                return self._outcome(stream, waiting.n, time.monotonic() - began_s, problem)
        finally:
            await producer.stop()

    async def _work(self, stream: Stream, waiting: WaitingLabels) -> str | None:
        """All that is sent and waited for; what was wrong if it was given up."""
        self._start_s = _now_s()
        began_s = time.monotonic()
        try:
            await self._send_rows(stream)
            self._sending_seconds = time.monotonic() - began_s
            await self._send_labels_left(stream, waiting)
            await stream.settle(0)
            self._tracker.all_sent()
            if self._until_joined:
                await self._wait_until_judged()
            else:
                await asyncio.sleep(_LAST_LOOK_S)  # what the workers have published by now still counts
        except _Silence as silence:
            return str(silence)
        return None

    async def _look_on(self, waiting: WaitingLabels) -> None:
        tracker = self._tracker
        while True:
            await self._watch.look()
            self._show(
                Standing(
                    self._share_read, tracker.events.n, tracker.labels.n, waiting.n,
                    tracker.predicted, tracker.dead_events.total(), tracker.joined,
                )
            )  # fmt: skip

    async def _send_rows(self, stream: Stream) -> None:
        for batch in self._batches():
            left = batch.n_rows if self._plan.limit is None else min(batch.n_rows, self._plan.limit - self._rows)
            await self._send_table_batch(stream, batch if left == batch.n_rows else part(batch, 0, left))
            if self.stopping.is_set():
                break
            self._share_read = batch.share_read
            if self._rows == self._plan.limit:
                self._share_read = 1.0
                break
        # An event that is not acknowledged has no label yet.
        await stream.settle(0)

    def _batches(self) -> Iterator[TableBatch]:
        try:
            yield from self._table.batches()
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}\n  {self._rows:,} rows before it were sent") from None

    async def _send_table_batch(self, stream: Stream, batch: TableBatch) -> None:
        times_s = self._maker.times_s(batch)
        due_s = self._pace.due_s(times_s)
        first = 0
        while first < batch.n_rows and not self.stopping.is_set():
            elapsed_s = _now_s() - self._start_s
            last = first
            while last < batch.n_rows and last - first < SLICE_ROWS and due_s[last] <= elapsed_s:
                last += 1
            if last == first or self._is_far_ahead():
                await self._idle(stream, due_s[first] - elapsed_s)
                continue
            await self._send_slice(stream, part(batch, first, last), times_s[first:last], due_s[first:last])
            first = last

    async def _send_slice(
        self, stream: Stream, rows: TableBatch, times_s: Sequence[float | None], due_s: Sequence[float]
    ) -> None:
        plan, now_s = self._plan, _now_s()
        times = None
        if not plan.keep_times:
            has_column = self._contract.event_time_path in rows.columns
            times = self._pace.new_times_s(times_s, due_s, start_s=self._start_s, now_s=now_s, has_column=has_column)
        events = self._maker.events(rows, times_s, times)
        if plan.on_event_clock:
            self._latest_event_s = max((each for each in times_s if each is not None), default=self._latest_event_s)
        due = self._clock(now_s) + (plan.label_delay_s if plan.on_event_clock else plan.wall_delay_s)
        await stream.send_events(events, now_s=now_s, labels_due=due)
        self._rows += rows.n_rows
        await stream.send_labels(self._clock(_now_s()))
        await asyncio.sleep(0)

    def _clock(self, now_s: float) -> float:
        """The clock that labels are due by."""
        return self._latest_event_s if self._plan.on_event_clock else now_s

    async def _send_labels_left(self, stream: Stream, waiting: WaitingLabels) -> None:
        """Labels that are not due with the last row: by the clock on the wall they wait, by that of events they go."""
        if self._plan.on_event_clock and not self.stopping.is_set():
            await stream.send_labels(math.inf)
        while (due := waiting.next_due) is not None and not self.stopping.is_set():
            await self._idle(stream, due - _now_s())

    async def _idle(self, stream: Stream, seconds: float) -> None:
        """Let others work for a moment of at most *seconds*, and send the labels that are due."""
        await stream.send_labels(self._clock(_now_s()))
        await stream.settle()
        await asyncio.sleep(min(max(seconds, 0.001), _TICK_S))

    def _is_far_ahead(self) -> bool:
        """Whether the workers have to catch up first; raises _Silence if they do not."""
        is_far = self._until_joined and self._tracker.n_open > AHEAD_MAX
        if is_far:
            self._give_up_in_silence()
        return is_far

    async def _wait_until_judged(self) -> None:
        while not (self._tracker.has_all_outcomes and self._tracker.has_judged_all) and not self.stopping.is_set():
            self._give_up_in_silence()
            await asyncio.sleep(_TICK_S)

    def _give_up_in_silence(self) -> None:
        """Raise _Silence if nothing has moved for too long."""
        now_s, tracker = time.monotonic(), self._tracker
        seen = (tracker.events.n, tracker.labels.n, tracker.n_open, tracker.index.positions)
        if seen != self._moved[0]:
            self._moved = (seen, now_s)
        elif now_s - self._moved[1] > self._silence_s:
            raise _Silence(f"nothing has moved for {self._silence_s:g} s")

    def _outcome(self, stream: Stream, labels_waiting: int, seconds: float, problem: str | None) -> Outcome:
        tracker, was_stopped = self._tracker, self.stopping.is_set()
        is_complete = tracker.has_all_outcomes and tracker.has_judged_all and not labels_waiting and not was_stopped
        versions, is_told = versions_of(tracker) if is_complete else (tracker.counted(), False)
        return Outcome(
            pipeline=self._contract.name,
            rows=self._rows,
            events=tracker.events.n,
            labels=tracker.labels.n,
            too_large=stream.too_large,
            without_label=stream.without_label,
            labels_waiting=labels_waiting,
            seconds=seconds,
            sending_seconds=self._sending_seconds or seconds,
            predicted=tracker.predicted,
            dead_events=dict(tracker.dead_events),
            dead_labels=dict(tracker.dead_labels),
            states=tracker.states(),
            versions=versions,
            is_told_by_workers=is_told,
            was_followed=not tracker.has_given_up,
            is_complete=is_complete,
            was_stopped=was_stopped,
            problem=problem,
        )


class _Silence(Exception):
    """Nothing has moved for too long."""


def _now_s() -> float:
    """The clock of the edges: a replay happens in real time."""
    return time.time()  # noqa: TID251  # an edge
