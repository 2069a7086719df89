"""The timeline against a naive reading of its rules, for any order of records and any order of judging releases."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refusal, RejectedRelease
from app.records import Activation, Manifest
from app.registry.entries import activation_key, release_key
from app.registry.timeline import LEAD_S, InForce, Timeline, Undecided, Validity

VERSIONS = st.integers(1, 4)
TIMES = st.integers(-1, 14).map(float)


def manifest(version):
    """A manifest of *version* whose content never matters here."""
    return Manifest(pipeline="p", version=version, sha256="0" * 64, size=1, chunks=1, created_at=0.0)


@st.composite
def topics(draw):
    """The records of a `models` topic: (at_s, entry), the broker's timestamps never going back."""
    at_s, records = 0.0, []
    for _ in range(draw(st.integers(0, 9))):
        at_s += draw(st.integers(0, 2))
        if draw(st.booleans()):
            records.append((at_s, manifest(draw(VERSIONS))))
        else:
            effective = at_s + draw(st.integers(-3, 6))
            sequence = draw(st.integers(1, 5))
            activation = Activation(sequence=sequence, version=draw(VERSIONS), effective_from_s=effective, author="a")
            records.append((at_s, activation))
    return records


def timeline_of(records):
    """A timeline that has read *records*, none of whose releases is judged."""
    timeline = Timeline("p")
    for offset, (at_s, entry) in enumerate(records):
        key = release_key(entry.version) if isinstance(entry, Manifest) else activation_key(entry.sequence)
        timeline.feed(offset, int(at_s * 1000), key, msgspec.json.encode(entry))
    return timeline


def judge(timeline, version, good):
    """Tell *timeline* whether *version* is one of the *good*."""
    if version in good:
        timeline.mark_accepted(version)
    else:
        timeline.mark_refused(version, RejectedRelease(Refusal.NOT_ONNX, "bad"))


def naive(records, good):
    """The valid activations as (sequence, effective_from_s, version), by the words of the rule."""
    known, taken, valid = set(), set(), []
    for at_s, entry in records:
        if isinstance(entry, Manifest):
            known.add(entry.version)
            continue
        new, fit = entry.sequence not in taken, entry.version in known and entry.version in good
        taken.add(entry.sequence)
        if not new or not fit:
            continue
        if not valid:
            valid.append((entry.sequence, -math.inf, entry.version))
        elif entry.effective_from_s >= at_s + LEAD_S:
            valid.append((entry.sequence, entry.effective_from_s, entry.version))
    return valid


def naive_in_force(records, good, t_s):
    """The version and sequence in force at *t_s* by the words of the rule."""
    candidates = [(sequence, version) for sequence, effective, version in naive(records, good) if effective <= t_s]
    return InForce(max(candidates)[1], max(candidates)[0]) if candidates else None


@given(topics(), st.sets(VERSIONS), TIMES)
def test_the_timeline_equals_the_naive_rule(records, good, t_s):
    """Once every release is judged, what is in force is the highest valid sequence that has begun."""
    timeline = timeline_of(records)
    for version in timeline.releases:
        judge(timeline, version, good)
    assert timeline.in_force(t_s) == naive_in_force(records, good, t_s)
    valid = [state for state in timeline.activations() if state.validity is Validity.VALID]
    assert [state.standing.activation.sequence for state in valid] == [
        sequence for sequence, *_ in naive(records, good)
    ]


@given(topics(), st.sets(VERSIONS), st.sets(VERSIONS), TIMES)
def test_an_answer_given_early_is_the_answer_given_late(records, good, judged, t_s):
    """A reader that has judged only some releases answers as one that has judged all, or names one to be judged."""
    timeline = timeline_of(records)
    for version in judged & timeline.releases.keys():
        judge(timeline, version, good)
    answer = timeline.in_force(t_s)
    if isinstance(answer, Undecided):
        assert answer.version in timeline.releases.keys() - judged
    else:
        assert answer == naive_in_force(records, good, t_s)


@given(topics(), st.sets(VERSIONS), TIMES)
def test_judging_what_is_asked_for_leads_to_the_answer(records, good, t_s):
    """A late starter need judge no more than what it is told, one release after another."""
    timeline = timeline_of(records)
    while isinstance(answer := timeline.in_force(t_s), Undecided):
        judge(timeline, answer.version, good)
    assert answer == naive_in_force(records, good, t_s)


@given(topics(), st.sets(VERSIONS), st.integers(0, 9))
def test_later_records_never_change_what_readers_rely_on(records, good, cut):
    """What is in force before (the newest timestamp + lead) stays so, whatever is written afterwards."""
    early = timeline_of(records[:cut])
    late = timeline_of(records)
    for version in late.releases:
        judge(late, version, good)
    for version in early.releases:
        judge(early, version, good)
    newest_s = records[:cut][-1][0] if records[:cut] else 0.0
    for t_s in (newest_s - 5, newest_s, newest_s + LEAD_S - 0.5):
        answer = early.in_force(t_s)
        if answer is not None:
            assert late.in_force(t_s) == answer


@given(topics(), st.sets(VERSIONS), TIMES, TIMES)
def test_a_range_holds_what_its_moments_hold(records, good, one_s, other_s):
    """`over` names exactly the answers that some moment of the range has, in order."""
    t_min_s, t_max_s = min(one_s, other_s), max(one_s, other_s)
    timeline = timeline_of(records)
    for version in timeline.releases:
        judge(timeline, version, good)
    n_steps = int(t_max_s - t_min_s) * 2
    moments = [timeline.in_force(t_min_s + step / 2) for step in range(n_steps + 1)]
    assert [a for a, b in zip(moments, [object(), *moments], strict=False) if a != b] == [
        a
        for a, b in zip(timeline.over(t_min_s, t_max_s), [object(), *timeline.over(t_min_s, t_max_s)], strict=False)
        if a != b
    ]
