"""Categories as numbers: a code for each value as it is met, and fewer codes for what a model is trained on.

file      red red blue red mauve blue      codes as met   1 1 2 1 3 2
training  red red blue                     vocabulary     red -> 1, blue -> 2, all else -> OTHER
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.training.layout import OTHER, is_category

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from app.features import DecodedBatch
    from app.training.layout import Layout

DISTINCT_MAX = 50_000
"""Values of one feature that get a code of their own; later ones are OTHER, so that memory is bounded."""
CATEGORIES_MAX = 100
"""Categories of one feature that a model may know, the most frequent."""
ROWS_MIN = 5
"""Training rows that a category must have: what a model learns from fewer is noise."""


class Codes:
    """The values of one feature, numbered from 1 on in the order in which they are met."""

    def __init__(self) -> None:
        self._code_of: dict[Any, int] = {}

    def learn(self, values: Iterable[Any]) -> list[int]:
        """The code of each of *values*; a new one gets the next."""
        code_of = self._code_of
        codes = []
        for value in values:
            code = code_of.get(value)
            if code is None:
                code = len(code_of) + 1 if len(code_of) < DISTINCT_MAX else OTHER
                if code:
                    code_of[value] = code
            codes.append(code)
        return codes

    @property
    def values(self) -> tuple[Any, ...]:
        """The value of code 1, of code 2, ..."""
        return tuple(self._code_of)


class Vocabulary(NamedTuple):
    """The categories that a model knows of one feature: the first has code 1."""

    values: tuple[Any, ...]
    recode: npt.NDArray[np.float32]
    """From a code as met to the model's, shape (n_values_met + 1,)."""

    @property
    def n_codes(self) -> int:
        """OTHER included."""
        return len(self.values) + 1

    def codes_of(self, values: Iterable[Any]) -> list[int]:
        """The model's code of each of *values*."""
        code_of = {value: code for code, value in enumerate(self.values, start=1)}
        return [code_of.get(value, OTHER) for value in values]


def vocabulary_of(codes: npt.NDArray[np.float32], values: Sequence[Any]) -> Vocabulary:
    """The vocabulary of training rows with these *codes* as met, shape (n_rows,), whose *values* are 1, 2, ...

    >>> vocabulary_of(np.float32([1] * 5 + [2] * 9 + [3]), ("red", "blue", "mauve"))[:1]
    (('blue', 'red'),)
    """
    counts = np.bincount(codes.astype(np.intp), minlength=len(values) + 1)[1:]
    order = np.argsort(-counts, kind="stable")[:CATEGORIES_MAX]  # of equally frequent ones the one that was met first
    order = order[counts[order] >= ROWS_MIN]
    recode = np.zeros(len(values) + 1, np.float32)
    recode[order + 1] = np.arange(1, len(order) + 1)
    return Vocabulary(tuple(values[at] for at in order), recode)


def recoded(
    matrix: npt.NDArray[np.float32], layout: Layout, vocabularies: Sequence[Vocabulary]
) -> npt.NDArray[np.float32]:
    """*matrix*, shape (n_rows, width), whose categories have codes as met, with those of *vocabularies* instead."""
    if not vocabularies:
        return matrix
    matrix = matrix.copy()
    for column, vocabulary in zip(layout.categories, vocabularies, strict=True):
        matrix[:, column] = vocabulary.recode[matrix[:, column].astype(np.intp)]
    return matrix


def matrix_of(decoded: DecodedBatch, layout: Layout, coders: Sequence[Any]) -> npt.NDArray[np.float32]:
    """The features of *decoded* as a model is given them, shape (n_kept, width), categories as codes.

    coders: for each category column what makes codes of a list of values, `Codes.learn` or `Vocabulary.codes_of`.
    """
    if not coders:
        return decoded.matrix()
    matrix = np.empty((len(decoded), len(layout.names)), np.float32)
    coder = iter(coders)
    for feature, span in zip(layout.contract.features, layout.spans, strict=True):
        column = decoded.column(feature.name)
        if is_category(feature):
            matrix[:, span.start] = next(coder)(column[:, 0].tolist())
        else:
            matrix[:, span] = column  # each input is rounded on its own, as the worker does it for such a model
    return matrix
