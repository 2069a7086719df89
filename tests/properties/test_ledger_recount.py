"""The ledger and its tallies against a naive recount of whole logs, through any reading order and any crash."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from app.feedback import DictStore, Kind, Ledger, SeenLabel, SeenPrediction
from app.feedback.seen import entry_key
from app.performance import Retention, Tallies, merged, pane_start
from app.performance.counters import confusion_cell
from app.performance.rows import JUDGED_STATES, decode_block, decode_ledger_row, ledger_key, parse_block_key
from tests.makers import a_contract, a_prediction
from verify.decode import Label as VerifiedLabel
from verify.ledger import recount as verified

H = 10.0
KEEP_S = 4 * H + 60
FOREVER = Retention(1e9, 1e9, 1e9)
CONTRACT = a_contract(label_horizon_s=H, windows_s=(5, 20))


# --- the naive definition: whole logs, unbounded memory, no order of reading -----------------------------------------


@dataclass
class Recount:
    """What the first p predictions and l labels amount to."""

    predicted: list[SeenPrediction] = field(default_factory=list)
    duplicate_prediction: int = 0
    states: list[str] = field(default_factory=list)
    joined: list[tuple[SeenPrediction, SeenLabel]] = field(default_factory=list)


def recount(predictions, labels):
    """The states by the rules alone, for logs in which no id is ever forgotten."""
    found = Recount()
    first_prediction, e_before, coordinates = {}, {}, set()
    e = -math.inf
    for p in predictions:
        if p.key not in first_prediction:
            first_prediction[p.key], e_before[p.key] = p, e
            found.predicted.append(p)
        elif (p.key, p.coordinates) not in coordinates:
            found.duplicate_prediction += 1
        coordinates.add((p.key, p.coordinates))
        e = max(e, min(p.event_at, p.timestamp + 60))
    first_label = {}
    for label in labels:
        if label.key in first_label:
            equal = first_label[label.key].y_true == label.y_true
            found.states.append("duplicate" if equal else "conflicting")
            continue
        first_label[label.key] = label
        p = first_prediction.get(label.key)
        if p is None or e_before[label.key] > label.at + H:
            found.states.append("orphan" if e > label.at + H else "pending")
        elif label.at - p.event_at <= H:
            found.states.append("joined")
            found.joined.append((p, label))
        else:
            found.states.append("expired")
    return found


def panes_of(found, width_s):
    """(version, start_s) -> (predicted, n, confusion) of a recount."""
    panes = {}
    for p in found.predicted:
        pane = panes.setdefault((p.version, pane_start(p.event_at, width_s)), [0, 0, Counter()])
        pane[0] += 1
    for p, label in found.joined:
        pane = panes[p.version, pane_start(p.event_at, width_s)]
        pane[1] += 1
        pane[2][confusion_cell(label.y_true, int(p.y_pred))] += 1
    return {key: (predicted, n, dict(confusion)) for key, (predicted, n, confusion) in panes.items()}


# --- a worker that is killed -----------------------------------------------------------------------------------------


class DelayedRows(dict):
    """A table whose writes become durable later, one by one and in order."""

    def __init__(self, durable):
        super().__init__(durable)
        self.waiting = []

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.waiting.append((key, value))

    def __delitem__(self, key):
        super().__delitem__(key)
        self.waiting.append((key, None))


class Crash(NamedTuple):
    """A kill: after how many of the rows that wait, and with which local state the next worker begins."""

    rows: int
    state: str


class World:
    """Two logs, what is durable of the table and of local states, and a worker that reads on."""

    def __init__(self, predictions, labels, check=None, copies_within=5):
        self.predictions, self.labels = predictions, labels
        self.check = check
        self.copies_within = copies_within
        self.table = {}
        self.states = [{}]
        self.start({})

    def start(self, state):
        """A worker takes over, with that local state."""
        self.rows = DelayedRows(self.table)
        self.tallies = Tallies(self.rows, CONTRACT, 0, retention=FOREVER)
        self.waypoints = self.tallies.waypoints()
        self.store = DictStore(state)
        self.ledger = Ledger(self.store, CONTRACT, waypoints=self.waypoints, copies_within=self.copies_within)
        self.p, self.l = self.ledger.positions.predictions, self.ledger.positions.labels

    def read(self, topic, n):
        """The worker reads the next *n* records of a topic and counts them."""
        if topic == "p":
            batch = self.predictions[self.p : self.p + n]
            self.p += len(batch)
            found = self.ledger.add_predictions(batch, self.p)
        else:
            batch = self.labels[self.l : self.l + n]
            self.l += len(batch)
            found = self.ledger.add_labels(batch, self.l)
        self.tallies.apply(found, self.ledger.positions, event_time_s=self.ledger.event_time_s)
        at = self.ledger.positions
        caught_up = all(at.predictions >= w.predictions and at.labels >= w.labels for w in self.waypoints)
        if caught_up and self.check:
            self.check(self.rows, at)

    def make_durable(self, n=None):
        """The first *n* waiting rows, or all, reach the table's changelog."""
        for key, value in self.rows.waiting[:n]:
            if value is None:
                self.table.pop(key, None)
            else:
                self.table[key] = value
        self.rows.waiting = self.rows.waiting[n:] if n is not None else []

    def do(self, op):
        """One step of a life: reading, a checkpoint or a kill."""
        if isinstance(op, Crash):
            self.make_durable(op.rows)
            state = {"lost": {}, "latest": self.states[-1], "stale": self.states[len(self.states) // 2]}[op.state]
            self.start(state)
        elif op == "checkpoint":
            self.make_durable()
            self.ledger.checkpoint()
            self.states.append(dict(self.store.items))
        else:
            self.read(*op)

    def finish(self):
        """Read both logs to their ends: the rows."""
        for _ in range(4):
            self.read("l", len(self.labels))
            self.read("p", len(self.predictions))
        assert (self.p, self.l) == (len(self.predictions), len(self.labels))
        assert self.ledger.positions.predictions == self.p
        assert self.ledger.positions.labels == self.l
        return self.rows


OPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("pl"), st.integers(1, 6)),
        st.tuples(st.sampled_from("pl"), st.integers(1, 6)),
        st.tuples(st.sampled_from("pl"), st.integers(1, 40)),
        st.just("checkpoint"),
        st.builds(Crash, st.integers(0, 12), st.sampled_from(["latest", "latest", "stale", "lost"])),
    ),
    max_size=40,
)


@st.composite
def logs(draw, *, ids, base_times, reach_s):
    """Predictions and labels of a few ids, each id's times within *reach_s* of its base time; with copies."""
    bases = [draw(base_times) for _ in range(ids)]
    predictions = []
    for offset in range(draw(st.integers(0, 25))):
        if predictions and draw(st.integers(0, 4)) == 0:
            predictions.append(replace_offset(draw(st.sampled_from(predictions)), offset))
            continue
        which = draw(st.integers(0, ids - 1))
        event_at = bases[which] + draw(st.integers(0, reach_s))
        predictions.append(
            SeenPrediction(
                offset,
                entry_key(str(which)),
                1000 + offset,
                draw(st.integers(1, 2)),
                float(event_at),
                event_at + float(draw(st.sampled_from([0, 0, 0, -65]))),
                draw(st.integers(0, 1)),
                draw(st.floats(0, 1)),
            )
        )
    labels = []
    for offset in range(draw(st.integers(0, 25))):
        which = draw(st.integers(0, ids - 1))
        at = float(bases[which] + draw(st.integers(0, reach_s)))
        labels.append(SeenLabel(offset, entry_key(str(which)), at, draw(st.integers(0, 1))))
    return predictions, labels


def replace_offset(prediction, offset):
    """A copy of *prediction*, as a redelivery makes it."""
    fields = {name: getattr(prediction, name) for name in prediction.__struct_fields__}
    return SeenPrediction(**fields | {"offset": offset})


def counted(rows):
    """The ledger row and the panes in a table: (window_s, version, start_s) -> counters."""
    ledger = decode_ledger_row(rows[ledger_key("p/0/")])
    panes = {}
    for key, value in rows.items():
        parsed = parse_block_key("p/0/", key)
        if parsed:
            version, window_s, block_start = parsed
            for place, counters in decode_block(value).panes.items():
                panes[window_s, version, block_start + place * window_s] = counters
    return ledger, panes


def assert_equals(rows, found):
    """The table is what the recount says, whole numbers exactly."""
    ledger, panes = counted(rows)
    states = Counter(found.states)
    assert {state: ledger.counts.get(state, 0) for state in JUDGED_STATES} == {
        state: states[state] for state in JUDGED_STATES
    }
    assert ledger.pending == states["pending"]
    assert ledger.counts.get("duplicate_prediction", 0) == found.duplicate_prediction
    for window_s in CONTRACT.windows_s:
        assert {
            (version, start): (c.predicted, c.n, c.confusion)
            for (width, version, start), c in panes.items()
            if width == window_s
        } == panes_of(found, window_s)
    total = merged(ledger.totals.values())
    assert (total.predicted, total.n) == (len(found.predicted), len(found.joined))


@settings(max_examples=80, deadline=None)
@given(logs(ids=6, base_times=st.just(0), reach_s=20), OPS)
def test_counts_equal_a_naive_recount_at_every_position_whatever_is_killed(both_logs, ops):
    """While no id is forgotten, the table at (p, l) is a function of the first p predictions and l labels alone."""
    predictions, labels = both_logs

    def check(rows, at):
        assert_equals(rows, recount(predictions[: at.predictions], labels[: at.labels]))

    world = World(predictions, labels, check)
    for op in ops:
        world.do(op)
    assert_equals(world.finish(), recount(predictions, labels))


@settings(max_examples=60, deadline=None)
@given(logs(ids=8, base_times=st.integers(0, 700), reach_s=int(3 * H + 60)), OPS)
def test_every_label_and_prediction_counts_once_although_ids_are_forgotten(both_logs, ops):
    """Over many horizons each good label is in exactly one state, and ledger, totals and panes agree on what joined."""
    predictions, labels = both_logs
    world = World(predictions, labels)
    for op in ops:
        world.do(op)
    ledger, panes = counted(world.finish())
    assert ledger.labels_seen == len(labels)
    assert ledger.pending >= 0
    assert sum(ledger.counts.get(state, 0) for state in JUDGED_STATES) + ledger.pending == len(labels)
    total = merged(ledger.totals.values())
    assert total.n == ledger.counts.get("joined", 0)
    for window_s in CONTRACT.windows_s:
        of_window = merged(counters for (width, _, _), counters in panes.items() if width == window_s)
        assert (of_window.predicted, of_window.n, of_window.confusion) == (total.predicted, total.n, total.confusion)
    undisturbed = World(predictions, [])
    undisturbed_ledger, _ = counted(undisturbed.finish())
    assert total.predicted == merged(undisturbed_ledger.totals.values()).predicted
    for kind in (Kind.DUPLICATE_PREDICTION,):
        assert ledger.counts.get(kind.value, 0) == undisturbed_ledger.counts.get(kind.value, 0)


@settings(max_examples=60, deadline=None)
@given(logs(ids=12, base_times=st.integers(0, 700), reach_s=25), OPS)
def test_but_for_too_late_the_reading_order_changes_nothing(both_logs, ops):
    """Ids that are used once: whatever the order of reading, a label is in the state of the recount or too late."""
    predictions, labels = both_logs
    predictions = [replace_offset(p, n) for n, p in enumerate({p.key: p for p in reversed(predictions)}.values())]
    found = recount(predictions, labels)
    world = World(predictions, labels)
    for op in ops:
        world.do(op)
    ledger, _ = counted(world.finish())
    states = Counter(found.states)
    for state in JUDGED_STATES[:-1]:
        assert ledger.counts.get(state, 0) <= states[state]
    assert ledger.pending == states["pending"]


@settings(max_examples=80, deadline=None)
@given(logs(ids=6, base_times=st.integers(0, 400), reach_s=60), OPS)
def test_the_independent_verifier_agrees(both_logs, ops):
    """Whatever is forgotten, used again or killed, every state's count is within the verifier's bounds."""
    predictions, labels = both_logs
    expected = verified(
        [
            a_prediction(
                p.offset,
                p.key.hex(),
                p.event_at,
                source=p.coordinates,
                timestamp_s=p.timestamp,
                version=p.version,
                prediction=p.y_pred,
                score=p.score,
            )
            for p in predictions
        ],
        [VerifiedLabel(label.offset, label.key.hex(), label.y_true, label.at) for label in labels],
        H,
    )
    world = World(predictions, labels, copies_within=100)
    for op in ops:
        world.do(op)
    ledger, _ = counted(world.finish())
    found = {state: ledger.counts.get(state, 0) for state in JUDGED_STATES} | {"pending": ledger.pending}
    for state, count in found.items():
        assert expected.least[state] <= count <= expected.most[state]
    assert merged(ledger.totals.values()).predicted == len(expected.predicted)
    assert ledger.counts.get("duplicate_prediction", 0) == expected.duplicate_prediction
