"""Labels that lie in another partition than their prediction, and why: the join of a keyed pipeline never sees them."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from app.keys import partition_of

EXAMPLES = 3
"""How many misplaced labels of each cause are told with their coordinates."""


class Place(NamedTuple):
    """Where a record of an id lies, and with which key."""

    partition: int
    offset: int
    key: bytes | None


class Cause(StrEnum):
    """Why a label does not lie where its prediction does."""

    NO_KEY = "no_key"
    """The label has no key, so that its producer put it anywhere."""
    OTHER_KEY = "other_key"
    """The label's key is not that of the event."""
    OTHER_PARTITIONER = "other_partitioner"
    """The key is the event's, but the label does not lie where murmur2 puts it."""
    EVENTS_ELSEWHERE = "events_elsewhere"
    """The label lies where murmur2 puts its key; it is the event that does not."""


class Misplaced(NamedTuple):
    """A label and a prediction of the same id, which do not meet."""

    id: str
    label: Place
    prediction: Place


@dataclass
class Survey:
    """The labels that were read, held against the predictions that were read."""

    n_partitions: int
    """Of the labels topic."""
    met: int = 0
    """Labels in the partition of their prediction."""
    unknown: int = 0
    """Labels whose prediction is not among those that were read."""
    counts: Counter[Cause] = field(default_factory=Counter)
    examples: dict[Cause, list[Misplaced]] = field(default_factory=lambda: defaultdict(list))
    like_crc32: int = 0
    """Of the labels that another partitioner has placed, those that lie where CRC32 of the key says."""
    unknown_no_key: int = 0
    """Of the unknown ones, those without a key."""
    unknown_elsewhere: int = 0
    """Of the unknown ones, those that do not lie where murmur2 puts their key."""

    @property
    def misplaced(self) -> int:
        """Labels that lie in another partition than their prediction."""
        return self.counts.total()

    @property
    def read(self) -> int:
        """All labels that were looked at."""
        return self.met + self.misplaced + self.unknown

    def add(self, label_id: str, label: Place, predictions: Mapping[int, Place] | None) -> None:
        """Look at one label; predictions: those of its id, by partition, None where there is none."""
        if not predictions:
            self.unknown += 1
            self.unknown_no_key += label.key is None
            self.unknown_elsewhere += label.key is not None and not self._is_home(label)
        elif label.partition in predictions:
            self.met += 1
        else:
            prediction = next(iter(predictions.values()))
            cause = self._cause(label, prediction)
            self.counts[cause] += 1
            if cause is Cause.OTHER_PARTITIONER:
                self.like_crc32 += zlib.crc32(label.key or b"") % self.n_partitions == label.partition
            if len(self.examples[cause]) < EXAMPLES:
                self.examples[cause].append(Misplaced(label_id, label, prediction))

    def _cause(self, label: Place, prediction: Place) -> Cause:
        if label.key is None:
            return Cause.NO_KEY
        if label.key != prediction.key:
            return Cause.OTHER_KEY
        return Cause.EVENTS_ELSEWHERE if self._is_home(label) else Cause.OTHER_PARTITIONER

    def _is_home(self, label: Place) -> bool:
        return label.key is not None and partition_of(label.key, self.n_partitions) == label.partition


class KnownPredictions:
    """Where the predictions of ids lie; an id has one for each partition at most, the newest."""

    def __init__(self) -> None:
        self._places: dict[str, dict[int, Place]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, places: Iterable[tuple[str, Place]]) -> None:
        """Remember predictions, by id."""
        for prediction_id, place in places:
            self._places.setdefault(prediction_id, {})[place.partition] = place

    def of(self, prediction_id: str) -> Mapping[int, Place] | None:
        """Those of an id by partition; None where there is none."""
        return self._places.get(prediction_id)
