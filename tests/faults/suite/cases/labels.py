"""Labels of every kind and state, in time and late."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.faults.suite.judge import is_counted
from tests.faults.suite.load import Message, label
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run


@dataclass
class _Labelled:
    """An event to which labels are to be given."""

    key: bytes
    id: str
    at: float
    truth: int
    horizon_s: float
    rng: Any

    def label(self, after_s: float, *, id_: str | None = None, truth: Any = None) -> Message:
        """Its label, *after_s* seconds of event time later."""
        return label(self.key, id_ or self.id, self.truth if truth is None else truth, self.at + after_s)

    def in_time(self) -> Message:
        """A label within the horizon, the class sometimes as 1.0."""
        return self.label(self.rng.uniform(0, self.horizon_s), truth=self.rng.choice([self.truth, float(self.truth)]))


LABELS = {
    "expired": lambda e: [e.label(e.horizon_s * e.rng.uniform(1.01, 3))],
    "duplicate": lambda e: [e.label(1)] * e.rng.choice([2, 3]),
    "conflicting": lambda e: [e.label(1), e.label(2, truth=1 - e.truth)],
    "orphan": lambda e: [e.label(0, id_=f"{e.id}-nobody")],
    "bad": lambda e: [e.label(0, truth=e.rng.choice(["maybe", 2, 0.5, True, [], {}]))],
    "broken": lambda e: [Message(True, e.key, e.rng.choice([b"{", b"[]", b"1", b"", None]))],
    "never": lambda _: [],
}
"""By the state that they are made for; further kinds are `before`, `late`, `again` and `in_time`, the most frequent."""
KINDS = [*LABELS, "before", "late", "again", *["in_time"] * 5]
AHEAD = 2000
"""A label follows its event so many events later, at most."""
EPOCHS = 3
EPOCH_HORIZONS = 1.5
"""Event time of an epoch in horizons: less than two, so that no id of it is forgotten before it is over."""
LEAP_HORIZONS = (1.2, 6.0)
"""Between two epochs: all ids of the one are forgotten in the last third of the other, markers for them may be gone."""


@dataclass
class Epochs:
    """Event times in stretches with leaps between them, and how many labels were late on purpose.

    A label that belongs to its own epoch is in time however the worker reads, once each epoch is counted before the
    next begins; those of kind `late`, and second ones of kind `again`, are sent in the last third of the next epoch.
    """

    name: str
    n: int
    """Events of an epoch, at least."""
    horizon_s: float
    begin_s: float
    number: int = 0
    late: list[Message] = field(default_factory=list)
    sent_late: int = 0

    def source(self, rng: Any) -> Iterator[list[Message]]:
        """The events and labels of the next epoch."""
        waiting: deque[list[Message]] = deque([] for _ in range(AHEAD))
        overdue, self.late = self.late, []
        begin_s, span_s = self.begin_s, EPOCH_HORIZONS * self.horizon_s
        self.begin_s += span_s + self.horizon_s * rng.uniform(*LEAP_HORIZONS)
        for place in itertools.count():
            at = begin_s + span_s * min(1.0, place / self.n)
            out = self._event(rng, at, waiting)
            if place >= self.n * 2 // 3 and overdue:
                many = 1 + len(overdue) // max(1, self.n - place)
                out += overdue[:many]
                self.sent_late += len(overdue[:many])
                del overdue[:many]
            out += waiting.popleft()
            waiting.append([])
            if place >= self.n - 1:  # the load may stop here: nothing of this epoch is left to the next
                out += itertools.chain.from_iterable(waiting)
                waiting = deque([] for _ in range(AHEAD))
            yield out

    def _event(self, rng: Any, at: float, waiting: deque[list[Message]]) -> list[Message]:
        a, b = rng.uniform(-3, 3), rng.uniform(-3, 3)
        truth = int((a > b) == (rng.random() < 0.8))
        number, self.number = self.number, self.number + 1
        it = _Labelled(b"user-%d" % (number % 61), f"{self.name}-{number}", at, truth, self.horizon_s, rng)
        event = {"id": it.id, "user": it.key.decode(), "at": it.at, "a": a, "b": b}
        out = [Message(False, it.key, json.dumps(event).encode())]
        match kind := rng.choice(KINDS):
            case "before":
                out.insert(0, it.in_time())
            case "late":
                self.late.append(it.in_time())
            case "again":
                waiting[rng.randrange(AHEAD)].append(it.in_time())
                self.late.append(it.in_time())
            case "in_time":
                waiting[rng.randrange(AHEAD)].append(it.in_time())
            case _:
                waiting[rng.randrange(AHEAD)] += LABELS[kind](it)
        if rng.random() < 0.01:  # an id that is used again
            other = event | {"id": f"{self.name}-{max(0, number - 61)}"}
            out.append(Message(False, it.key, json.dumps(other).encode()))
        return out


@case(18)
async def labels(run: Run) -> None:
    """Labels before their prediction, late, twice, contradicting, of nobody, bad and missing, with kills among them."""
    horizon_s = 200.0
    await run.begin(horizon_s=horizon_s, session_timeout_s=3)
    worker = await run.worker()
    back_s = EPOCHS * horizon_s * (EPOCH_HORIZONS + max(LEAP_HORIZONS)) + 3600
    epochs = Epochs(run.name, run.n // EPOCHS, horizon_s, time.time() - back_s)
    for epoch in range(EPOCHS):
        async with run.load(source=epochs.source, n=epochs.n, per_s=2000):
            for _ in range(run.times(1)):
                await run.pause(0.5, 2.5)
                await run.kill(worker)
                worker = await run.worker()
        if epoch < EPOCHS - 1:
            await run.eventually(lambda: is_counted(run), run.case.drain_s, "P7 an epoch is counted")
            run.say("event time leaps")
    run.heal()

    def few_were_late() -> None:
        late = sum(told.get("too_late", 0) for told in run.watch.ledgers.values())
        run.notes.append(f"{late} labels were too late, {epochs.sent_late} were sent so late")
        run.must(late <= epochs.sent_late, f"P4 {late} labels are too late, only {epochs.sent_late} were sent so late")
        run.must(late or run.scale < 1, "no label was too late")

    run.when_drained(few_were_late)
