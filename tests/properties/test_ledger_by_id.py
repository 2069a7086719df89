"""The ledger of a by-id pipeline: both kinds in one log, against the naive recount, through any crash."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.feedback import SeenLabel, SeenPrediction
from tests.properties.test_ledger_recount import Crash, H, World, assert_equals, counted, logs, recount, replace_offset

GAP = 3
"""Between records that follow each other lie the markers of transactions."""


class OneLogWorld(World):
    """A worker that reads predictions and labels from one log, as `PartitionDesk` does it."""

    def __init__(self, log, check=None):
        self.log = log
        super().__init__([r for r in log if isinstance(r, SeenPrediction)], [r for r in log if is_label(r)], check)

    def start(self, state):
        """The next life reads on from a single position."""
        super().start(state)
        assert self.p == self.l

    def read(self, _, n):
        """The next *n* records, both kinds together."""
        batch = [record for record in self.log if record.offset >= self.p][:n]
        if not batch:
            return
        self.p = batch[-1].offset + 1
        found = self.ledger.add_predictions([r for r in batch if isinstance(r, SeenPrediction)], self.p)
        found += self.ledger.add_labels([r for r in batch if is_label(r)], self.p)
        self.tallies.apply(found, self.ledger.positions, event_time_s=self.ledger.event_time_s)
        at = self.ledger.positions
        assert (at.predictions, at.labels) == (self.p, self.p)
        assert self.ledger.deferred_predictions == self.ledger.deferred_labels == 0
        if self.check and all(at.predictions >= w.predictions for w in self.waypoints):
            self.check(self.rows, at.predictions)

    def finish(self):
        """Read the log to its end: the rows."""
        self.read("", len(self.log))
        if not self.log:
            self.tallies.apply([], self.ledger.positions, event_time_s=self.ledger.event_time_s)
        return self.rows


def is_label(record):
    """Whether it is a label."""
    return isinstance(record, SeenLabel)


def up_to(log, offset):
    """The predictions and labels before *offset*."""
    log = [record for record in log if record.offset < offset]
    return [r for r in log if isinstance(r, SeenPrediction)], [r for r in log if is_label(r)]


@st.composite
def one_log(draw, **options):
    """Predictions and labels, interleaved in one log."""
    predictions, labels = draw(logs(**options))
    order = draw(st.permutations([True] * len(predictions) + [False] * len(labels)))
    sources = {True: iter(predictions), False: iter(labels)}
    log = []
    for at, is_prediction in enumerate(order):
        record = next(sources[is_prediction])
        if is_prediction:
            log.append(replace_offset(record, at * GAP))
        else:
            log.append(SeenLabel(at * GAP, record.key, record.at, record.y_true))
    return log


OPS = st.lists(
    st.one_of(
        st.tuples(st.just(""), st.integers(1, 12)),
        st.just("checkpoint"),
        st.builds(
            Crash,
            st.integers(0, 12),
            st.sampled_from(["latest", "latest", "stale", "lost"]),
        ),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(one_log(ids=6, base_times=st.just(0), reach_s=20), OPS)
def test_counts_of_one_log_equal_a_naive_recount_at_every_position(log, ops):
    """At every offset that it has reached the table is what the records before it amount to, whatever is killed."""
    world = OneLogWorld(log, lambda rows, at: assert_equals(rows, recount(*up_to(log, at))))
    for op in ops:
        world.do(op)
    assert_equals(world.finish(), recount(*up_to(log, len(log) * GAP)))


@settings(max_examples=60, deadline=None)
@given(one_log(ids=8, base_times=st.integers(0, 700), reach_s=int(3 * H + 60)), OPS)
def test_every_label_of_one_log_is_in_one_state_although_ids_are_forgotten(log, ops):
    """Read again after a kill or never: the states add up to the labels."""
    world = OneLogWorld(log)
    for op in ops:
        world.do(op)
    ledger, _ = counted(world.finish())

    states = ("joined", "expired", "orphan", "duplicate", "conflicting", "too_late")
    assert sum(ledger.counts.get(state, 0) for state in states) + ledger.pending == len(world.labels)
    assert ledger.pending >= 0
