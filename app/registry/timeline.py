"""Which version is in force at which Kafka timestamp: the rules of the `models` topic, without Kafka.

    topic:  release/1  activation/1(v1)  release/2  activation/2(v2 from 100)
    t:      -inf ............................ 100 ............... +inf
                    v1 in force                     v2 in force

Every reader that has seen the same records gives the same answer, however much it knows of which releases are good:
an answer is either what it will be once all is known, or `Undecided` with the version to be judged next.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from app.records import Activation, Manifest
from app.registry.entries import Ignored, Notice, numbered_key, parse

if TYPE_CHECKING:
    from app.errors import RejectedRelease

LEAD_S = 2.0
"""How far ahead of its own Kafka timestamp an activation must take effect, so that every reader knows it in time."""


@dataclass(frozen=True, slots=True)
class InForce:
    """Records at the asked time are scored with *version*, by activation *sequence*."""

    version: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Undecided:
    """The answer depends on whether the release *version* is accepted."""

    version: int


@dataclass(frozen=True, slots=True)
class Release:
    """A manifest that stands; *recorded_at_s* is its Kafka timestamp."""

    manifest: Manifest
    offset: int
    recorded_at_s: float


@dataclass(frozen=True, slots=True)
class StandingActivation:
    """The first activation of its sequence, of a version known before it; *on_time* when it kept the lead."""

    activation: Activation
    offset: int
    recorded_at_s: float
    on_time: bool


class Validity(StrEnum):
    """Whether an activation counts."""

    VALID = "valid"
    UNDECIDED = "undecided"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class ActivationState:
    """An activation and whether it counts; *notice* says why not."""

    standing: StandingActivation
    validity: Validity
    notice: Notice | None = None


class Timeline:
    """The releases and activations of one pipeline, from the records of its `models` topic in offset order.

    `next_offset` is the offset after the last record taken in; a record below it is skipped, so that a reader may
    begin again anywhere. Which releases are good is told from outside: `mark_accepted`, `mark_refused`.
    """

    def __init__(self, pipeline: str, *, lead_s: float = LEAD_S) -> None:
        self.pipeline = pipeline
        self.lead_s = lead_s
        self.next_offset = 0
        self.releases: dict[int, Release] = {}
        self.accepted: set[int] = set()
        self.refused: dict[int, RejectedRelease] = {}
        self._highest = {"release": 0, "activation": 0}
        self._standing: dict[int, StandingActivation] = {}
        """By sequence, inserted in offset order."""
        self._taken_sequences: set[int] = set()
        self._sequences: list[int] = []
        self._turns_s: list[float] = []
        """Distinct times at which the answer may change, ascending."""
        self._answers: dict[int, InForce | Undecided | None] = {}
        self._first_accepted_offset: int | None = None
        self._first_unknown: StandingActivation | None = None

    @property
    def highest_version(self) -> int:
        """The highest version any record of the topic ever named, 0 for none: the next free one is above it."""
        return self._highest["release"]

    @property
    def highest_sequence(self) -> int:
        """The highest sequence any record of the topic ever named, 0 for none."""
        return self._highest["activation"]

    def manifest(self, version: int) -> Manifest:
        """The manifest that stands for *version*; KeyError when there is none."""
        return self.releases[version].manifest

    def feed(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Notice | None:
        """Take in the next record; a Notice when it has no effect.

        An activation that is too late or of a refused release has none either: that may become known only later, and
        `activations` tells.
        """
        if offset < self.next_offset:
            return None
        self.next_offset = offset + 1
        numbered = numbered_key(key)
        if numbered is not None:
            kind, number = numbered
            self._highest[kind] = max(self._highest[kind], number)
        entry = parse(self.pipeline, key, value)
        if isinstance(entry, Manifest):
            return self._feed_manifest(entry, offset, timestamp_ms / 1000)
        if isinstance(entry, Activation):
            return self._feed_activation(entry, offset, timestamp_ms / 1000)
        return entry

    def _feed_manifest(self, manifest: Manifest, offset: int, recorded_at_s: float) -> Notice | None:
        known = self.releases.get(manifest.version)
        if known is None:
            self.releases[manifest.version] = Release(manifest, offset, recorded_at_s)
            return None
        if known.manifest == manifest:
            return None
        text = f"version {manifest.version} stands since offset {known.offset} with other content"
        return Notice(Ignored.VERSION_TAKEN, text, version=manifest.version)

    def _feed_activation(self, activation: Activation, offset: int, recorded_at_s: float) -> Notice | None:
        sequence, version = activation.sequence, activation.version
        if sequence in self._taken_sequences:
            text = f"sequence {sequence} was taken by an earlier activation"
            return Notice(Ignored.SEQUENCE_TAKEN, text, version=version, sequence=sequence)
        self._taken_sequences.add(sequence)
        if version not in self.releases:
            text = f"activation {sequence} names version {version}, which has no manifest before it"
            return Notice(Ignored.UNKNOWN_VERSION, text, version=version, sequence=sequence)
        on_time = activation.effective_from_s >= recorded_at_s + self.lead_s
        self._standing[sequence] = StandingActivation(activation, offset, recorded_at_s, on_time)
        insort(self._sequences, sequence)
        if on_time and activation.effective_from_s not in self._turns_s:
            insort(self._turns_s, activation.effective_from_s)
        self._changed()
        return None

    def mark_accepted(self, version: int) -> None:
        """The release is good: its activations may count."""
        self.accepted.add(version)
        self._changed()

    def mark_refused(self, version: int, refusal: RejectedRelease) -> None:
        """The release is bad, for every worker alike: its activations never count."""
        self.refused[version] = refusal
        self._changed()

    def in_force(self, t_s: float) -> InForce | Undecided | None:
        """What holds for a record with Kafka timestamp *t_s*; None when nothing is active then."""
        segment = bisect_right(self._turns_s, t_s)
        try:
            return self._answers[segment]
        except KeyError:
            answer = self._answers[segment] = self._resolve(self._turns_s[segment - 1] if segment else -math.inf)
            return answer

    def over(self, t_min_s: float, t_max_s: float) -> list[InForce | Undecided | None]:
        """What holds somewhere in [t_min_s, t_max_s], in order of time."""
        first, last = bisect_right(self._turns_s, t_min_s), bisect_right(self._turns_s, t_max_s)
        return [self.in_force(t_min_s), *(self.in_force(self._turns_s[turn]) for turn in range(first, last))]

    def turns_within(self, after_s: float, until_s: float) -> list[float]:
        """The times in (after_s, until_s] at which the answer may change, ascending."""
        return self._turns_s[bisect_right(self._turns_s, after_s) : bisect_right(self._turns_s, until_s)]

    def activations(self) -> list[ActivationState]:
        """Every standing activation in offset order, and whether it counts."""
        return [self._state(standing) for standing in self._standing.values()]

    def standing(self, sequence: int) -> StandingActivation | None:
        """The activation that stands under *sequence*."""
        return self._standing.get(sequence)

    def first_standing(self) -> StandingActivation | None:
        """The first standing activation by offset: it holds from minus infinity if its release is accepted."""
        return next(iter(self._standing.values()), None)

    def _resolve(self, t_s: float) -> InForce | Undecided | None:
        for sequence in reversed(self._sequences):
            standing = self._standing[sequence]
            applies = self._applies(standing, t_s)
            if isinstance(applies, Undecided):
                return applies
            if applies:
                return InForce(standing.activation.version, sequence)
        return None

    def _applies(self, standing: StandingActivation, t_s: float) -> bool | Undecided:
        version = standing.activation.version
        if version in self.refused:
            return False
        if standing.on_time and standing.activation.effective_from_s <= t_s:
            return True if version in self.accepted else Undecided(version)
        return self._is_first(standing)

    def _is_first(self, standing: StandingActivation) -> bool | Undecided:
        """Whether this is the first activation of an accepted release, which holds from minus infinity."""
        if self._first_accepted_offset is None and self._first_unknown is None:
            self._find_firsts()
        if self._first_accepted_offset is not None and self._first_accepted_offset < standing.offset:
            return False
        if self._first_unknown is not None and self._first_unknown.offset <= standing.offset:
            return Undecided(self._first_unknown.activation.version)
        return standing.activation.version in self.accepted

    def _find_firsts(self) -> None:
        for standing in self._standing.values():
            version = standing.activation.version
            if version in self.accepted:
                self._first_accepted_offset = standing.offset
                return
            if version not in self.refused and self._first_unknown is None:
                self._first_unknown = standing

    def _changed(self) -> None:
        self._answers.clear()
        self._first_accepted_offset = None
        self._first_unknown = None

    def _state(self, standing: StandingActivation) -> ActivationState:
        applies = self._applies(standing, math.inf)
        if isinstance(applies, Undecided):
            return ActivationState(standing, Validity.UNDECIDED)
        if applies:
            return ActivationState(standing, Validity.VALID)
        return ActivationState(standing, Validity.IGNORED, self._notice(standing))

    def _notice(self, standing: StandingActivation) -> Notice:
        sequence, version = standing.activation.sequence, standing.activation.version
        if version in self.refused:
            text = f"activation {sequence} names version {version}, which was refused: {self.refused[version]}"
            return Notice(Ignored.RELEASE_REFUSED, text, version=version, sequence=sequence)
        late_s = standing.recorded_at_s + self.lead_s - standing.activation.effective_from_s
        text = (
            f"activation {sequence} came {late_s:.3f} s too late: effective_from_s must be at least {self.lead_s} s "
            "after the record's own Kafka timestamp"
        )
        return Notice(Ignored.TOO_LATE, text, version=version, sequence=sequence)
