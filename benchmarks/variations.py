"""The same work with one thing varied: features, trees, bytes in a record, or partitions of the topics."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sklearn.ensemble import GradientBoostingClassifier

from benchmarks.cluster import N_PARTITIONS
from benchmarks.peers.scoring import N_FEATURES
from benchmarks.workloads import N_TREES, SEED, Named

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTE_BYTES = 100
"""A field that the contract does not name, and the model does not need."""
DISTINCT_BYTES = 20_000_000
"""The distinct records of a topic together."""
TOPIC_BYTES = 800_000_000
"""A topic has as many records as fit in this, up to `N_RECORDS`."""
N_RECORDS = 150_000
TREES_SCORED = 40_000_000
"""Trees times records at most: a thousand trees are scored for 40,000 records."""


@dataclass(frozen=True, kw_only=True)
class Padded(Named):
    """Numbers, and texts that nobody asks for."""

    padding_bytes: int = 0

    def bodies(self, n: int) -> list[dict[str, Any]]:
        """The fields of *n* records, without the id."""
        chance = random.Random(SEED)
        letters = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=100 * NOTE_BYTES))

        def notes() -> dict[str, str]:
            starts = chance.choices(range(len(letters) - NOTE_BYTES), k=self.padding_bytes // (NOTE_BYTES + 14))
            return {f"note_{i:03d}": letters[start : start + NOTE_BYTES] for i, start in enumerate(starts)}

        return [body | notes() for body in super().bodies(n)]


@dataclass(frozen=True)
class Point:
    """One variation."""

    features: int = N_FEATURES
    trees: int = N_TREES
    padding_bytes: int = 0
    partitions: int = N_PARTITIONS

    @property
    def name(self) -> str:
        """Distinct, and fit for a topic."""
        return f"f{self.features}-t{self.trees}-b{self.padding_bytes}-p{self.partitions}"

    @property
    def about_bytes(self) -> int:
        """How large a record is, nearly."""
        return 20 + 21 * self.features + self.padding_bytes

    @property
    def n_records(self) -> int:
        """Records on the topic of a full run: enough to measure, in a time and on a disk that can be spared."""
        return min(N_RECORDS, TOPIC_BYTES // self.about_bytes, TREES_SCORED // self.trees)

    @property
    def workload(self) -> Padded:
        """Its records and its model."""
        estimator = partial(GradientBoostingClassifier, max_features="sqrt", random_state=SEED)
        return Padded(
            letter="",
            about=f"{self.features} named numbers, {self.trees} boosted trees, {self.padding_bytes} bytes besides",
            estimator=partial(estimator, n_estimators=self.trees),
            recipe=f"curves {self.features} {self.trees} sqrt {SEED}",
            n_records=self.n_records,
            n_distinct=max(200, min(20_000, DISTINCT_BYTES // self.about_bytes)),
            n_features=self.features,
            padding_bytes=self.padding_bytes,
        )


@dataclass(frozen=True)
class Curve:
    """Cost against one size; its points go up."""

    field: str
    """What is varied: a field of Point."""
    what: str
    """The same in words, with its unit."""
    sizes: tuple[int, ...]
    grows: bool = True
    """Whether each unit is work of its own; if not, the cost should hardly change."""

    @property
    def points(self) -> Sequence[Point]:
        """One for each size."""
        return [Point(**{self.field: size}) for size in self.sizes]


CURVES = (
    Curve("features", "features", (10, 30, 100, 300, 1000)),
    Curve("trees", "trees of the model", (10, 100, 300, 1000)),
    Curve("padding_bytes", "bytes that the contract does not name", (0, 2_000, 10_000, 50_000)),
    Curve("partitions", "partitions", (1, 2, 8, 64), grows=False),
)
QUICK_CURVES = (
    Curve("features", "features", (10, 30, 300)),
    Curve("trees", "trees of the model", (10, 100)),
    Curve("padding_bytes", "bytes that the contract does not name", (0, 10_000)),
    Curve("partitions", "partitions", (2, 64), grows=False),
)
