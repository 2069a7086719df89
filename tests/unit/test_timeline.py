"""What a record of the `models` topic does, one rule at a time."""

from __future__ import annotations

import msgspec
import pytest

from app.errors import Refusal, RejectedRelease
from app.records import Activation, Manifest
from app.registry.entries import Ignored, Notice
from app.registry.status import activations_of, releases_of, status_of
from app.registry.timeline import InForce, Timeline, Undecided, Validity


class Topic:
    """A `models` topic in memory: feeds a timeline and counts offsets."""

    def __init__(self):
        self.timeline = Timeline("fraud")
        self.offset = 0

    def write(self, key, value, *, at_s=0.0):
        """Feed one record; returns the notice."""
        notice = self.timeline.feed(self.offset, round(at_s * 1000), key, value)
        self.offset += 1
        return notice

    def release(self, version, *, at_s=0.0, **changes):
        """Feed a manifest."""
        fields = {"pipeline": "fraud", "sha256": "0" * 64, "size": 9, "chunks": 1, "created_at": 0.0}
        manifest = Manifest(**{**fields, "version": version, **changes})
        return self.write(b"release/%d" % version, msgspec.json.encode(manifest), at_s=at_s)

    def activation(self, sequence, version, effective_from_s, *, at_s=0.0):
        """Feed an activation."""
        activation = Activation(sequence=sequence, version=version, effective_from_s=effective_from_s, author="ann")
        return self.write(b"activation/%d" % sequence, msgspec.json.encode(activation), at_s=at_s)


@pytest.fixture
def topic():
    """An empty `models` topic."""
    return Topic()


#   offset:  release/1  activation/1       release/2  activation/2 (from 100)
#   t:       -inf ........ v1 .................. 100 ...... v2 ......
def test_the_first_activation_holds_from_the_beginning_and_the_next_from_its_time(topic):
    """The pipeline's first activation needs no lead; the second begins exactly at its time."""
    topic.release(1)
    topic.activation(1, 1, effective_from_s=50.0, at_s=90.0)
    topic.release(2, at_s=91.0)
    topic.activation(2, 2, effective_from_s=100.0, at_s=98.0)
    topic.timeline.mark_accepted(1)
    topic.timeline.mark_accepted(2)
    assert topic.timeline.in_force(-1e9) == InForce(1, 1)
    assert topic.timeline.in_force(99.999) == InForce(1, 1)
    assert topic.timeline.in_force(100.0) == InForce(2, 2)


def test_nothing_is_in_force_before_anything_is_activated(topic):
    """A release alone is not in force."""
    topic.release(1)
    topic.timeline.mark_accepted(1)
    assert topic.timeline.in_force(1.0) is None


def test_an_activation_without_the_lead_never_counts(topic):
    """A record that says 1.9 s after its own Kafka timestamp is too late, and says by how much."""
    topic.release(1)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.activation(2, 1, effective_from_s=101.9, at_s=100.0)
    topic.timeline.mark_accepted(1)
    assert topic.timeline.in_force(1e9) == InForce(1, 1)
    state = topic.timeline.activations()[1]
    assert (state.validity, state.notice.reason) == (Validity.IGNORED, Ignored.TOO_LATE)
    assert "0.100 s too late" in state.notice.error


def test_a_refused_release_makes_the_next_activation_the_first(topic):
    """With version 1 refused, the activation of version 2 holds from the beginning, although it kept no lead."""
    topic.release(1)
    topic.release(2)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.activation(2, 2, effective_from_s=5.0, at_s=5.0)
    assert topic.timeline.in_force(0.0) == Undecided(1)
    topic.timeline.mark_refused(1, RejectedRelease(Refusal.NOT_ONNX, "no model"))
    assert topic.timeline.in_force(0.0) == Undecided(2)
    topic.timeline.mark_accepted(2)
    assert topic.timeline.in_force(0.0) == InForce(2, 2)
    assert topic.timeline.activations()[0].notice.reason is Ignored.RELEASE_REFUSED


def test_a_late_starter_need_not_judge_the_past(topic):
    """What is in force now is known without knowing whether the first release ever was good."""
    topic.release(1)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.release(2)
    topic.activation(2, 2, effective_from_s=10.0, at_s=1.0)
    topic.timeline.mark_accepted(2)
    assert topic.timeline.in_force(20.0) == InForce(2, 2)
    assert topic.timeline.in_force(9.0) == Undecided(1)


def test_the_first_record_of_a_sequence_stands(topic):
    """A second publisher that took the same sequence is told so, and changes nothing."""
    topic.release(1)
    topic.release(2)
    topic.activation(7, 1, effective_from_s=0.0)
    notice = topic.activation(7, 2, effective_from_s=50.0)
    assert (notice.reason, notice.sequence, notice.version) == (Ignored.SEQUENCE_TAKEN, 7, 2)
    topic.timeline.mark_accepted(1)
    topic.timeline.mark_accepted(2)
    assert topic.timeline.in_force(60.0) == InForce(1, 7)


def test_the_first_manifest_of_a_version_stands(topic):
    """Other content under a taken version is ignored; the same content again is nothing new."""
    topic.release(1)
    assert topic.release(1) is None
    notice = topic.release(1, size=10)
    assert (notice.reason, notice.version) == (Ignored.VERSION_TAKEN, 1)
    assert topic.timeline.manifest(1).size == 9


def test_an_activation_before_its_manifest_never_counts(topic):
    """A manifest that comes after does not help: a reader in between would have answered otherwise."""
    notice = topic.activation(1, 3, effective_from_s=10.0)
    assert notice.reason is Ignored.UNKNOWN_VERSION
    topic.release(3)
    topic.timeline.mark_accepted(3)
    assert topic.timeline.in_force(20.0) is None


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b"{}", Ignored.UNKNOWN_KEY),
        (b"shadow/1", b"{}", Ignored.UNKNOWN_KEY),
        (b"release/01", b"{}", Ignored.UNKNOWN_KEY),
        (b"release/" + b"9" * 16, b"{}", Ignored.UNKNOWN_KEY),
        (b"release/4", None, Ignored.TOMBSTONE),
        (b"activation/4", None, Ignored.TOMBSTONE),
        (b"release/4", b"{", Refusal.BAD_MANIFEST),
        (b"release/4", b"\xff", Refusal.BAD_MANIFEST),
        (b"release/4", b'{"version": 4}', Refusal.BAD_MANIFEST),
        (b"activation/4", b"{}", Ignored.MALFORMED),
        (b"activation/4", b"null", Ignored.MALFORMED),
        (
            b"activation/4",
            b'{"sequence":5,"version":1,"effective_from_s":1.0,"author":"a"}',
            Ignored.MALFORMED,
        ),
        (
            b"activation/4",
            b'{"sequence":4,"version":1,"effective_from_s":1e999,"author":"a"}',
            Ignored.MALFORMED,
        ),
    ],
)
def test_a_record_that_says_nothing_is_noticed_and_has_no_effect(topic, key, value, reason):
    """Whatever somebody writes, the timeline goes on as before, and the notice carries a closed code."""
    topic.release(1)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.timeline.mark_accepted(1)
    notice = topic.write(key, value)
    assert isinstance(notice, Notice)
    assert notice.reason is reason
    assert topic.timeline.in_force(0.0) == InForce(1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline": "churn"},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"size": 0},
        {"chunks": 0},
        {"chunks": 10},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(topic, changes):
    """The code is bad_manifest, with the version, and the version stays free."""
    notice = topic.release(1, **changes)
    assert (notice.reason, notice.version) == (Refusal.BAD_MANIFEST, 1)
    assert topic.timeline.releases == {}


def test_a_manifest_must_be_of_the_version_that_its_key_says(topic):
    """A manifest of version 2 under release/1 is refused."""
    fields = {"pipeline": "fraud", "sha256": "0" * 64, "size": 9, "chunks": 1, "created_at": 0.0}
    notice = topic.write(b"release/1", msgspec.json.encode({**fields, "version": 2}))
    assert notice.reason is Refusal.BAD_MANIFEST


def test_unknown_fields_are_ignored(topic):
    """A manifest of a later program, with fields that we do not know, is read."""
    fields = {"pipeline": "fraud", "sha256": "0" * 64, "size": 9, "chunks": 1, "created_at": 0.0, "signature": "x"}
    assert topic.write(b"release/1", msgspec.json.encode({**fields, "version": 1})) is None
    assert 1 in topic.timeline.releases


def test_numbers_once_used_are_never_free_again(topic):
    """Deleted and malformed records count for the highest version and sequence."""
    topic.write(b"release/8", None)
    topic.write(b"activation/9", b"{")
    assert (topic.timeline.highest_version, topic.timeline.highest_sequence) == (8, 9)


def test_records_read_again_change_nothing(topic):
    """After an outage a reader may begin at an offset it has seen."""
    topic.release(1)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.offset = 0
    assert topic.release(2) is None
    assert list(topic.timeline.releases) == [1]


def test_the_higher_sequence_wins_even_when_it_begins_earlier(topic):
    """A correction with a higher sequence and an earlier time replaces what was planned."""
    for version in (1, 2, 3):
        topic.release(version)
        topic.timeline.mark_accepted(version)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.activation(2, 2, effective_from_s=100.0)
    topic.activation(3, 3, effective_from_s=50.0)
    assert [topic.timeline.in_force(t).version for t in (49.0, 50.0, 100.0)] == [1, 3, 3]


def test_turns_are_the_times_of_activations_on_time(topic):
    """The times at which another version may begin, within a range that excludes its start."""
    topic.release(1)
    topic.activation(1, 1, effective_from_s=10.0)
    topic.activation(2, 1, effective_from_s=20.0)
    topic.activation(3, 1, effective_from_s=0.5)
    assert topic.timeline.turns_within(10.0, 20.0) == [20.0]
    assert topic.timeline.turns_within(-1.0, 30.0) == [10.0, 20.0]


def test_the_status_tells_every_release_and_activation(topic):
    """Accepted, refused with its code, unread; valid and ignored; what is current; absent when unknown."""
    topic.release(1)
    topic.release(2)
    topic.release(3)
    topic.activation(1, 1, effective_from_s=0.0)
    topic.activation(2, 2, effective_from_s=9.0)
    topic.timeline.mark_accepted(1)
    topic.timeline.mark_refused(2, RejectedRelease(Refusal.WRONG_CHECKSUM, "bytes differ"))
    releases = releases_of(topic.timeline)
    assert [(release["version"], release["state"]) for release in releases] == [
        (1, "accepted"),
        (2, "refused"),
        (3, "unread"),
    ]
    assert releases[1]["reason"] == "wrong_checksum"
    activations = activations_of(topic.timeline)
    assert [(shown["sequence"], shown["validity"]) for shown in activations] == [(1, "valid"), (2, "ignored")]
    status = status_of(
        topic.timeline, now_s=10.0, fresh_as_of_s=float("-inf"), loaded=[1], problem=None, audit_problem=None
    )
    assert status["current"] == {"version": 1, "sequence": 1}
    assert "fresh_as_of" not in status
    assert msgspec.json.encode(status)
