"""Which columns of the training matrix belong to which feature, and which of them are numbers and which categories."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app.features import Contract, Feature

OTHER = 0
"""The code of what is none of a column's categories: too rare when the model was trained, or never seen."""


class Columns(NamedTuple):
    """What a definition is told of the matrix that its estimators will be fitted on, float32, shape (n_rows, width).

    A category stands there as its code: 1, 2, ... from the most frequent on, and OTHER (0) for all that are rare or
    unknown. A missing number is NaN.
    """

    task: str
    """`binary`, `multiclass` or `regression`."""
    names: tuple[str, ...]
    """One for each column: the feature's name; of a vector `name[0]`, `name[1]`, ..."""
    numbers: tuple[int, ...]
    """The columns that are numbers."""
    categories: dict[int, int]
    """The columns that are categories -> how many codes there are, OTHER included."""
    seed: int
    """For what is random in an estimator."""


class Layout:
    """The columns of the matrix that the features of *contract* make, in its order."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.spans: list[slice] = []
        """The columns of each feature."""
        self.names: list[str] = []
        start = 0
        for feature in contract.features:
            self.spans.append(slice(start, start + feature.width))
            start += feature.width
            if feature.dtype == "vector":
                self.names += [f"{feature.name}[{at}]" for at in range(feature.width)]
            else:
                self.names.append(feature.name)

    @cached_property
    def categories(self) -> tuple[int, ...]:
        """The columns that hold codes, ascending."""
        features = zip(self.contract.features, self.spans, strict=True)
        return tuple(span.start for feature, span in features if is_category(feature))

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The columns that hold numbers, ascending."""
        categories = set(self.categories)
        return tuple(at for at in range(len(self.names)) if at not in categories)

    def columns(self, n_codes: tuple[int, ...], seed: int) -> Columns:
        """For a definition; *n_codes* of each category column."""
        codes = dict(zip(self.categories, n_codes, strict=True))
        return Columns(self.contract.task, tuple(self.names), self.numbers, codes, seed)


def is_category(feature: Feature) -> bool:
    """Whether the values of *feature* are names rather than amounts: texts, and integers with `categories`."""
    return feature.dtype == "string" or (feature.dtype == "int" and feature.categories is not None)
