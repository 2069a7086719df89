"""Schedules, queues and the tracker of a replay, held against naive definitions."""

from __future__ import annotations

import math
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from app.features.exact import parse_time_s
from app.replay.pace import Pace
from app.replay.plan import Plan
from app.replay.sent import SentRecords
from app.replay.times import label_at, written_time
from app.replay.tracker import Tracker
from app.replay.waiting import LabelBatch, WaitingLabels
from tests.makers import Given, a_contract

TIMES = st.lists(st.none() | st.integers(0, 10_000).map(float), min_size=1, max_size=60)


@given(TIMES, st.floats(0.01, 1000), st.data())
def test_rows_are_due_in_the_order_of_the_file_and_at_the_speed_asked_for(times_s, speed, data):
    """In whatever portions they are asked about: due times never fall, and are those of the latest row so far."""
    pace, due_s = Pace(Plan(speed=speed)), []
    left = list(times_s)
    while left:
        n = data.draw(st.integers(1, len(left)))
        due_s += pace.due_s(left[:n])
        left = left[n:]
    known = [each for each in times_s if each is not None]

    assert due_s == sorted(due_s)
    for at, due in enumerate(due_s):
        so_far = [each for each in times_s[: at + 1] if each is not None]
        assert math.isclose(due, (max(so_far) - known[0]) / speed if so_far else 0.0, abs_tol=1e-9)


@given(st.floats(0, 4e9), st.floats(0, 1e7))
def test_a_label_is_never_a_rounding_error_too_late(event_at_s, delay_s):
    """With a delay of just the horizon it is in time."""
    at_s = label_at(event_at_s, delay_s)

    assert at_s - event_at_s <= delay_s
    assert math.isclose(at_s, event_at_s + delay_s, rel_tol=1e-12)


@given(st.floats(0, 4e9), st.sampled_from(["s", "ms", "us", "iso8601"]))
def test_a_written_time_is_read_as_what_was_meant(at_s, time_format):
    """To the microsecond, or the millisecond where the format has no more."""
    read_s = parse_time_s(written_time(at_s, time_format), time_format)

    assert math.isclose(read_s, at_s, abs_tol=6e-4 if time_format == "ms" else 2e-6)


BATCHES = st.lists(
    st.builds(
        LabelBatch,
        st.floats(0, 100),
        st.integers(0, 3),
        st.lists(st.tuples(st.none() | st.binary(max_size=5), st.binary(max_size=20)), min_size=1, max_size=4),
    ),
    max_size=40,
)


@given(BATCHES, st.integers(0, 3000), st.lists(st.integers(0, 3), max_size=80))
def test_waiting_labels_are_a_queue_wherever_they_lie(batches, memory_max_bytes, turns):
    """In memory or in a file: first in, first out, none before it is due, and their number is known."""
    todo, naive, took = deque(sorted(batches, key=lambda batch: batch.due)), deque(), []
    with WaitingLabels(memory_max_bytes=memory_max_bytes) as waiting:
        for turn in [*turns, *[9] * (2 * len(batches))]:
            if turn and todo:
                waiting.put(todo[0])
                naive.append(todo.popleft())
            until = 50.0 if turn != 9 else math.inf
            expected = naive.popleft() if naive and naive[0].due <= until and turn != 1 else None
            if turn != 1:
                found = waiting.take(until)
                took.append(found)
                assert found == expected
            assert waiting.n == sum(len(batch.records) for batch in naive)
            assert waiting.next_due == (naive[0].due if naive else None)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(1, 5)), max_size=30))
def test_whose_a_record_is_follows_from_what_was_acknowledged(writes):
    """Runs of ours and of others, by partition: each offset is ours, another's, or not known yet."""
    begins = {0: 3, 1: 0, 2: 10}
    sent, ours, ends = SentRecords(begins), set(), dict(begins)
    for partition, n_others, n in writes:
        first = ends[partition] + n_others
        sent.add(partition, first, n)
        ours |= {(partition, first + i) for i in range(n)}
        ends[partition] = first + n
    known = {p: max((o + 1 for q, o in ours if q == p), default=begins[p]) for p in begins}

    for partition, begin in begins.items():
        for offset in range(ends[partition] + 3):
            later = offset >= max(known[partition], begin)
            assert sent.has(partition, offset) is (None if later else (partition, offset) in ours)
    assert sent.n == len(ours)
    assert sent.is_alone == (len(ours) == sum(end - begins[p] for p, end in ends.items() if known[p] > begins[p]))
    sent.is_complete = True
    assert sent.has(0, ends[0]) is False


CONTRACT = a_contract(label_path=("y",))
KINDS = st.sampled_from(["prediction", "copy", "stranger", "dead"])


def outcome(offset, kind, number):
    """The record that tells of the event at *offset*."""
    headers = [("source-topic", b"p.features"), ("source-partition", b"0"), ("source-offset", b"%d" % offset)]
    if kind == "dead":
        return Given(
            b"x", topic="p.dead-letters", partition=0, offset=number, headers=[*headers, ("reason", b"bad_id")]
        )
    value = b'{"id":"i%d","version":1,"prediction":"yes","event_at":1.0,"score":0.75}' % offset
    return Given(value, topic="p.predictions", partition=0, offset=number, headers=headers)


@given(st.lists(st.tuples(KINDS, st.sampled_from(["yes", "no", None])), max_size=30), st.data())
def test_each_event_counts_once_however_acknowledgements_and_outcomes_interleave(events, data):
    """Copies, other people's events and dead letters add nothing; an outcome may be read before its acknowledgement."""
    tracker = Tracker(CONTRACT, features={0: 5}, labels={0: 0}, label_delay_s=0.0)
    tracker.begin()
    acks, outcomes, n_outcomes = [], [], 0
    for offset, (kind, label) in enumerate(events, start=5):
        if kind != "stranger":
            acks.append((offset, tracker.truth_of(label)))
        for _ in range(2 if kind == "copy" else 1):
            outcomes.append(outcome(offset, "dead" if kind == "dead" else "prediction", n_outcomes))
            n_outcomes += 1
    while acks or outcomes:
        if acks and (not outcomes or data.draw(st.booleans())):
            offset, truth = acks.pop(0)
            tracker.sent_events(0, offset, [truth])
        else:
            tracker.take(outcomes.pop(0))
    tracker.all_sent()
    ours = [(kind, label) for kind, label in events if kind != "stranger"]
    labels = [label for kind, label in ours if kind != "dead" and label is not None]

    assert tracker.has_all_outcomes
    assert tracker.predicted == sum(kind != "dead" for kind, _ in ours)
    assert tracker.dead_events.total() == sum(kind == "dead" for kind, _ in ours)
    assert tracker.has_strangers == any(kind == "stranger" for kind, _ in events)
    counters = tracker.counted().get(1)
    assert (counters.n if counters else 0) == len(labels)
    if labels:
        hits, misses = labels.count("yes"), labels.count("no")
        assert counters.confusion == {k: v for k, v in {1 << 16 | 1: hits, 1: misses}.items() if v}
        assert math.isclose(counters.log_loss_sum, -hits * math.log(0.75) - misses * math.log(0.25), abs_tol=1e-9)
