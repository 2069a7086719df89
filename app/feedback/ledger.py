"""The label ledger of one partition: which prediction each label belongs to, and which state each label is in.

docs/feedback.md tells the rules with timelines, and why counts made from them are exactly right after any crash.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from app.feedback.backlog import UNBOUNDED, Backlog, Waypoints
from app.feedback.census import Census
from app.feedback.contribution import Contribution, Kind
from app.feedback.deadlines import Deadlines
from app.feedback.entry import JUDGED, PENDING, age_of, pack_copy, pack_label, prediction_offset_of, unpack_label
from app.feedback.rules import COPIES_WITHIN, Rules, Step, predicted
from app.feedback.seen import ENTRY_PREFIX, copy_key
from app.feedback.store import CorruptStore
from app.records import Positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.features import Contract
    from app.feedback.seen import SeenLabel, SeenPrediction
    from app.feedback.store import Store

FUTURE_S = 60.0
"""How far an event time may be ahead of its record's timestamp and still move E."""
PENDING_MAX = 50_000_000
SWEPT_PER_RECORD = 2
SWEPT_AT_ONCE = 50_000
_PASSES = 2
"""When entries have come of age, the sweep ends the pass that it is in and makes a whole one."""
FORMAT = 2
_META = b"m"
_ENTRIES_END = b"f"


class Ledger:
    """What is known of the ids of one partition.

    What is added changes memory alone; `checkpoint` writes it down. Between the two the caller makes durable what it
    counted from the contributions, so that a crash at any time loses nothing: on opening, the records from `positions`
    on are to be added again.

    waypoints: the positions that those counts stand at (`Tallies.waypoints`).
    pending_max: ids to be remembered; beyond it the oldest are dropped and counted as `pending_dropped`.
    copies_within: predictions among which copies are known although their ids are long forgotten.

    CorruptStore on opening: delete the store and open an empty one.
    """

    def __init__(
        self,
        store: Store,
        contract: Contract,
        *,
        waypoints: Sequence[Positions] = (),
        pending_max: int = PENDING_MAX,
        copies_within: int = COPIES_WITHIN,
    ) -> None:
        self._store = store
        self._rules = Rules(contract, copies_within=copies_within)
        self._identity = [FORMAT, contract.task, len(contract.classes), contract.label_horizon_s]
        meta = self._read_meta()
        self.positions = Positions(*meta["positions"])
        """Next offsets to be judged: where to read on from."""
        self.event_time_s: float = meta["event_time_s"]
        """E: how far the events have come; -inf before the first."""
        self._has_swept: bool = meta["has_swept"]
        """Whether entries were ever removed, so that an id without one may have been known."""
        self._cursor: bytes = meta["cursor"]
        self._passes: int = meta.get("passes", _PASSES)
        """How often the sweep has still to come to the end of the entries until it may rest."""
        self._census = Census(self._rules.horizon_s, pending_max, meta["census"])
        self._deadlines = Deadlines(store)
        self._overlay: dict[bytes, bytes] = {}
        self._unswept = 0
        self._predictions: Backlog[SeenPrediction] = Backlog(self.positions.predictions)
        self._labels: Backlog[SeenLabel] = Backlog(self.positions.labels)
        self._waypoints = Waypoints(waypoints)
        counted = self._counted = next(iter(waypoints), Positions())
        if self.positions.predictions > counted.predictions or self.positions.labels > counted.labels:
            raise CorruptStore(f"the ledger's state is at {self.positions}, what was counted from it only at {counted}")

    @property
    def remembered(self) -> int:
        """Ids that are remembered."""
        return self._census.remembered

    @property
    def deferred_predictions(self) -> int:
        """Predictions that cannot be judged before more labels are read: above some bound, stop reading them."""
        return len(self._predictions)

    @property
    def deferred_labels(self) -> int:
        """Labels that cannot be judged before more predictions are read: above some bound, stop reading them."""
        return len(self._labels)

    @property
    def to_rebuild(self) -> Positions:
        """How many offsets of each topic are still to be read until the ledger stands where the counts do.

        Nothing follows from them: the counts hold it.
        """
        counted = self._waypoints.last()
        return Positions(
            max(counted.predictions - self.positions.predictions, 0), max(counted.labels - self.positions.labels, 0)
        )

    @property
    def is_rebuilding(self) -> bool:
        """Whether something is still to be read that the counts hold."""
        return self.to_rebuild != Positions()

    def add_predictions(self, predictions: Sequence[SeenPrediction], next_offset: int) -> list[Contribution]:
        """What follows from the next predictions, in order.

        next_offset: the offset after the last record read, refused ones included.
        """
        self._predictions.put(predictions, next_offset)
        return self._go_on()

    def add_labels(self, labels: Sequence[SeenLabel], next_offset: int) -> list[Contribution]:
        """What follows from the next labels, in order; *next_offset* as for predictions."""
        self._labels.put(labels, next_offset)
        return self._go_on()

    def begin_at(self, first: Positions) -> None:
        """The topics hold no records before *first* any more: nothing waits for those to be read."""
        self._predictions.put((), first.predictions)
        self._labels.put((), first.labels)
        self._go_on()

    def checkpoint(self) -> None:
        """Write down all that was added, in one piece; call it only when what was counted from it is durable."""
        if self._census.expire(self.event_time_s - self._rules.keep_s):
            self._passes = _PASSES
        dead = self._sweep()
        deadlines = self._deadlines
        meta = {
            "identity": self._identity,
            "positions": [self.positions.predictions, self.positions.labels],
            "event_time_s": self.event_time_s,
            "has_swept": self._has_swept,
            "cursor": self._cursor,
            "passes": self._passes,
            "census": self._census.dump(),
        }
        puts = self._overlay | deadlines.added
        puts[_META] = msgspec.msgpack.encode(meta)
        self._store.write(puts, [*dead, *deadlines.removed])
        deadlines.checkpointed()
        self._overlay = {}

    def close(self) -> None:
        """Close the store; what was added since the last checkpoint is forgotten."""
        self._store.close()

    def _go_on(self) -> list[Contribution]:
        """Judge whatever may be judged."""
        contributions: list[Contribution] = []
        while True:
            limits = self._waypoints.limits(self.positions)
            predictions, next_prediction = self._predictions.take(limits[0])
            labels, next_label = self._labels.take(limits[1])
            self._judge_predictions(predictions, contributions)
            self._judge_labels(labels, contributions)
            before, self.positions = self.positions, Positions(next_prediction, next_label)
            if limits == (UNBOUNDED, UNBOUNDED):
                return contributions
            if limits[0] <= self._counted.predictions and limits[1] <= self._counted.labels:
                contributions.clear()  # the counts hold them
            if self.positions == before:
                return contributions

    def _judge_predictions(self, predictions: list[SeenPrediction], contributions: list[Contribution]) -> None:
        if not predictions:
            return
        known = self._load([prediction.key for prediction in predictions])
        overlay, deadlines, rules, census = self._overlay, self._deadlines, self._rules, self._census
        e = self.event_time_s
        for prediction in predictions:
            key, event_at = prediction.key, prediction.event_at
            entry = overlay.get(key) or known.get(key)
            if entry is None:  # as nearly always: what `after_prediction` says of it, without a step
                contributions.append(predicted(prediction))
                overlay[key] = rules.first_entry(prediction, e)
                census.change(e if e > event_at else event_at, 1, 1, 0)  # noqa: FURB136  a call to max() costs seven times that
            else:
                step = rules.after_prediction(entry, prediction, e)
                if not (step.is_other and self._is_copy(prediction, step, e)):
                    contributions += step.contributions
                    if step.entry is not None:
                        self._take(key, step)
            latest = prediction.timestamp + FUTURE_S
            reached = event_at if event_at < latest else latest  # noqa: FURB136  likewise
            if reached > e:
                e = reached
                if e > deadlines.next_at:
                    self._run_out(e, prediction.offset, contributions)
        self.event_time_s = e
        self._unswept += len(predictions)
        self._drop_oldest(contributions, predictions[-1].offset, -1)

    def _judge_labels(self, labels: list[SeenLabel], contributions: list[Contribution]) -> None:
        if not labels:
            return
        known = self._load([label.key for label in labels])
        overlay, after_label = self._overlay, self._rules.after_label
        e = self.event_time_s
        # An entry may have been there once, of an id that was forgotten when the label was read.
        too_late_before = e - self._rules.remember_s if self._has_swept or self._census.floor > -math.inf else -math.inf
        for label in labels:
            key = label.key
            unknown = Kind.TOO_LATE if label.at < too_late_before else Kind.ORPHAN
            step = after_label(overlay.get(key) or known.get(key), label, e, unknown=unknown)
            contributions += step.contributions
            if step.entry is not None:
                self._take(key, step)
        self._unswept += len(labels)
        self._drop_oldest(contributions, -1, labels[-1].offset)

    def _load(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The stored entries of *keys*, those apart that have a newer one in memory or were dropped."""
        overlay = self._overlay
        missing = [key for key in keys if key not in overlay]
        floor = self._census.floor
        return {
            key: entry
            for key, entry in zip(missing, self._store.get_many(missing), strict=True)
            if entry is not None and (floor == -math.inf or max(age_of(entry, 1)) >= floor)
        }

    def _take(self, key: bytes, step: Step) -> None:
        """Take over the id's new entry."""
        self._overlay[key] = step.entry  # type: ignore[assignment]  # the caller saw that there is one
        for change in step.changes:
            self._census.change(*change)
        if step.waits_until is not None:
            self._deadlines.add(step.waits_until, key)
        if step.waited_until is not None:
            self._deadlines.remove(step.waited_until, key)

    def _is_copy(self, prediction: SeenPrediction, step: Step, e: float) -> bool:
        """Whether this further prediction of an id was here before; if not, it is remembered."""
        key = copy_key(prediction.key, prediction.coordinates)
        known = self._overlay.get(key) or self._load([key]).get(key)
        if known is not None:
            offset = prediction_offset_of(known) or 0
            if not self._rules.is_gone(max(age_of(known, 1)), offset, e, prediction.offset):
                return True
        if step.replaced is not None:
            key = copy_key(prediction.key, step.replaced)
        self._overlay[key] = pack_copy(prediction.event_at, e, prediction.offset)
        self._census.change(max(prediction.event_at, e), 1, 0, 0)
        return False

    def _run_out(self, e: float, prediction_offset: int, contributions: list[Contribution]) -> None:
        """The prediction at that offset moved E to *e*: labels whose time has run out become orphans."""
        keys = self._deadlines.pop_until(e)
        known = self._load(keys)
        for key in keys:
            entry = self._overlay.get(key) or known.get(key)
            if entry is None or entry[0] != PENDING:
                continue  # dropped, and perhaps used again since
            at, e_arrival, offset, y_true = unpack_label(entry)
            self._overlay[key] = pack_label(JUDGED, at, e_arrival, offset, y_true)
            self._census.change(max(at, e_arrival), 0, 0, -1)
            contributions.append(Contribution(Kind.ORPHAN, prediction_offset, offset, at=at, y_true=y_true))

    def _drop_oldest(self, contributions: list[Contribution], prediction_offset: int, label_offset: int) -> None:
        floor = self._census.floor
        dropped, labels = self._census.drop_oldest()
        if self._census.floor > floor:
            self._passes = _PASSES
        if not dropped:
            return
        contributions.append(
            Contribution(Kind.PENDING_DROPPED, prediction_offset, label_offset, n=dropped, n_labels=labels)
        )
        floor = self._census.floor
        for key in [key for key, entry in self._overlay.items() if max(age_of(entry, 1)) < floor]:
            del self._overlay[key]

    def _sweep(self) -> list[bytes]:
        """Keys of the entries, among the next few in order of the hashes, that are to be kept no longer."""
        budget = min(self._unswept * SWEPT_PER_RECORD, SWEPT_AT_ONCE)
        self._unswept = 0
        if not budget or not self._passes:
            return []
        found = self._store.scan(self._cursor, _ENTRIES_END, budget)
        if len(found) == budget:
            self._cursor = found[-1][0] + b"\0"
        else:
            self._cursor = ENTRY_PREFIX
            self._passes -= 1
        oldest = max(self.event_time_s - self._rules.keep_s, self._census.floor)
        dead: list[bytes] = []
        copies_from = self.positions.predictions - self._rules.copies_within
        for key, entry in found:
            time_s, e_arrival = age_of(entry, 1)
            if time_s < oldest and e_arrival < oldest and key not in self._overlay:
                offset = prediction_offset_of(entry)
                if offset is None or offset < copies_from:
                    dead.append(key)
        self._has_swept = self._has_swept or bool(dead)
        return dead

    def _read_meta(self) -> dict[str, Any]:
        stored = self._store.get_many([_META])[0]
        if stored is None:
            return {
                "positions": [0, 0],
                "event_time_s": -math.inf,
                "has_swept": False,
                "cursor": ENTRY_PREFIX,
                "passes": 0,
                "census": None,
            }
        try:
            meta: dict[str, Any] = msgspec.msgpack.decode(stored)
            identity = meta["identity"]
        except (msgspec.MsgspecError, KeyError) as error:
            raise CorruptStore(f"the ledger's state cannot be read: {error}") from error
        if identity != self._identity:
            raise CorruptStore(f"the ledger's state was written for {identity}, the contract now says {self._identity}")
        return meta
