"""Which record is due when: features at a steady rate, each label some seconds after its event, some records broken.

#   features  |--1/rate--|--1/rate--|--broken--|--1/rate--| ...        ids: site-0041, in pass 2 site-0041~2, ...
#   labels               event |---- 1 to 5 s, drawn ----| label       (a broken record gets none)

Pure: the clock is an argument and the draws are seeded, so that equal arguments give equal records.
"""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.demo.broken import FAULTS, broken_value
from app.demo.phishing import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.demo.phishing import Case

LABEL_DELAY_S = (1.0, 5.0)
BROKEN_EVERY = 100
"""Each hundredth record is a broken one."""


class Outgoing(NamedTuple):
    """A record to be sent once *due_s* has come; *is_label* says to which of the two topics."""

    due_s: float
    is_label: bool
    key: bytes
    value: bytes | None


class Schedule:
    """The records of a run that begins at *start_s* (epoch seconds) and never ends: the cases come again and again.

    rate: feature records a second, the broken ones included.
    labelled: whether events get a label.
    """

    def __init__(
        self, cases: Sequence[Case], *, rate: float, start_s: float, labelled: bool = True, seed: int = 0
    ) -> None:
        self._cases = cases
        self._rate = rate
        self._start_s = start_s
        self._labelled = labelled
        self._random = random.Random(seed)  # noqa: S311 - a seeded draw, no secret
        self._labels: list[Outgoing] = []
        self._taken = 0
        self._valid = 0

    def take(self, now_s: float, *, intake: bool = True) -> list[Outgoing]:
        """The records that have become due since the last call, in order of due time; without *intake* labels only."""
        due = list(self._due_features(now_s)) if intake else []
        while self._labels and self._labels[0].due_s <= now_s:
            due.append(heapq.heappop(self._labels))
        return sorted(due)

    @property
    def pass_number(self) -> int:
        """How many times the data set has been begun, the current pass included."""
        return max(self._valid - 1, 0) // len(self._cases) + 1

    @property
    def labels_waiting(self) -> int:
        """Labels of events already taken that are not due yet."""
        return len(self._labels)

    def _due_features(self, now_s: float) -> Iterator[Outgoing]:
        while (at_s := self._start_s + self._taken / self._rate) <= now_s:
            broken, is_broken = divmod(self._taken + 1, BROKEN_EVERY)
            pass_number, place = divmod(self._valid, len(self._cases))
            case = self._cases[place]
            event_id = pass_id(case, pass_number + 1)
            self._taken += 1
            if is_broken == 0:
                # An extra record beside the cases: they all come, broken ones or not.
                broken_id = f"{event_id}-broken"
                fault = FAULTS[(broken - 1) % len(FAULTS)]
                value = broken_value(_event(broken_id, at_s, case), fault)
                yield Outgoing(at_s, False, broken_id.encode(), value)
                continue
            self._valid += 1
            yield Outgoing(at_s, False, event_id.encode(), msgspec.json.encode(_event(event_id, at_s, case)))
            if not self._labelled:
                continue
            label_at_s = at_s + self._random.uniform(*LABEL_DELAY_S)
            label = msgspec.json.encode({"id": event_id, "label": case.label, "at": label_at_s})
            heapq.heappush(self._labels, Outgoing(label_at_s, True, event_id.encode(), label))


def _event(event_id: str, at_s: float, case: Case) -> dict[str, Any]:
    return {"id": event_id, "at": at_s, **dict(zip(FEATURES, case.features, strict=True))}


def pass_id(case: Case, pass_number: int) -> str:
    """The id of *case* in a pass: an id is unique in the stream although the cases come again.

    >>> from app.demo.phishing import Case
    >>> pass_id(Case(41, (), "phishing"), 1), pass_id(Case(41, (), "phishing"), 3)
    ('site-0041', 'site-0041~3')
    """
    return case.id if pass_number == 1 else f"{case.id}~{pass_number}"
