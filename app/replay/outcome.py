"""How a replay stands or ended: a value, for programs as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.performance import Counters, merged, rates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.features import Contract
    from app.replay.tracker import Tracker


@dataclass(frozen=True)
class Outcome:
    """A replay at its end, whatever ended it."""

    pipeline: str
    rows: int
    """Read from the file."""
    events: int
    """Feature records that Kafka has acknowledged."""
    labels: int
    """Label records that Kafka has acknowledged."""
    too_large: int
    """Rows that are larger than what Kafka takes: nothing was sent of them."""
    without_label: int
    """Rows without a label, or without an id that a label could name."""
    labels_waiting: int
    """Labels that were not due when the replay was stopped."""
    seconds: float
    """All of it, the waiting included."""
    sending_seconds: float
    """From the first row to the last that was sent."""
    predicted: int
    dead_events: Mapping[str, int]
    """Events that the workers refused, by reason."""
    dead_labels: Mapping[str, int]
    states: Mapping[str, int]
    """By how much the workers' counts of label states have grown meanwhile, whosever labels they are."""
    versions: Mapping[int, Counters]
    """By model version: what was counted of the replay's events."""
    is_told_by_workers: bool
    """Whether `versions` is by how much the workers' counts have grown; else counted from the predictions."""
    was_followed: bool
    """Whether outcomes could be followed: not if the workers were too far behind."""
    is_complete: bool
    """Whether each event has its outcome and each label was judged."""
    was_stopped: bool = False
    problem: str | None = None
    """Why it was given up."""
    advice: tuple[str, ...] = field(default=())
    """What to do about it."""

    @property
    def open_events(self) -> int:
        """Events that have neither prediction nor dead letter yet."""
        return self.events - self.predicted - sum(self.dead_events.values())

    @property
    def total(self) -> Counters:
        """The sum over versions."""
        return merged(self.versions.values())

    @property
    def rows_per_s(self) -> float:
        """Events over the time in which rows were sent."""
        return self.events / self.sending_seconds if self.sending_seconds > 0 else 0.0

    def as_json(self, contract: Contract) -> dict[str, Any]:
        """The report for programs; what is absent is omitted."""
        said: dict[str, Any] = {
            "pipeline": self.pipeline,
            "complete": self.is_complete,
            "rows": self.rows,
            "events": {
                "sent": self.events,
                "too_large": self.too_large,
                "predicted": self.predicted,
                "dead_letters": dict(sorted(self.dead_events.items())),
                "open": self.open_events,
            },
            "labels": {
                "sent": self.labels,
                "without": self.without_label,
                "waiting": self.labels_waiting,
                "dead_letters": dict(sorted(self.dead_labels.items())),
                "states": {state: n for state, n in self.states.items() if n},
            },
            "counted": "performance" if self.is_told_by_workers else "predictions",
            "versions": {str(version): shown(counters, contract) for version, counters in self.versions.items()},
            "total": shown(self.total, contract),
            "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s, 1),
        }
        if not self.was_followed:
            said["counted"] = None
            said["events"] = {"sent": self.events, "too_large": self.too_large}
            del said["versions"], said["total"]
        said |= {"stopped": True} if self.was_stopped else {}
        said |= {"problem": self.problem, "advice": list(self.advice)} if self.problem is not None else {}
        return said


def shown(counters: Counters, contract: Contract) -> dict[str, Any]:
    """Counts and rates as `/api/performance` has them."""
    return {"n": counters.n, "predicted": counters.predicted} | rates(counters, contract)


def versions_of(tracker: Tracker) -> tuple[dict[int, Counters], bool]:
    """What was counted by version, and whether it is the workers' own count.

    The replay counts by the coordinates of its records. It does not remember which ids there were before; the workers
    do, and where nobody else sends anything their counts have grown by what the replay brought and no more. So where
    they have counted less, by ids that come twice or labels that came too late, theirs is the truth.
    """
    counted, told = tracker.counted(), tracker.told()
    theirs = {version: told.get(version, Counters()) for version in counted}
    pairs = [((theirs[v].n, each.n), (theirs[v].predicted, each.predicted)) for v, each in counted.items()]
    has_less = any(they < we for pair in pairs for they, we in pair)
    has_more = any(they > we for pair in pairs for they, we in pair)
    return (theirs, True) if tracker.is_alone and has_less and not has_more else (counted, False)
