"""What a model is trained on: the rows of a table that a worker would score and that have a label."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.errors import InvalidRecord
from app.features import BatchDecoder
from app.tables import labels_of, records_of
from app.training.codes import Codes, matrix_of
from app.training.reservoir import Reservoir

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from app.features import Contract
    from app.tables import TableBatch
    from app.training.layout import Layout

CELLS_MAX = 50_000_000
"""Numbers that are held unless `--max-rows` says otherwise: 200 MB, and about a gigabyte while trees are grown."""
ROWS_MAX = 1_000_000
"""Rows that are held unless `--max-rows` says otherwise."""


@dataclass
class Counts:
    """What became of the rows of a table."""

    n_rows: int = 0
    n_unlabelled: int = 0
    n_usable: int = 0
    """Good by the contract, and with a label."""
    refused: Counter[str] = field(default_factory=Counter)
    """How many by the reason of their dead letter."""
    first_refused: str | None = None
    """What was wrong with the first of them."""
    first_at_s: float | None = None
    last_at_s: float | None = None
    """From when to when the usable rows are, epoch seconds; None where rows have no time of their own."""


class Dataset(NamedTuple):
    """Rows in the order of the table."""

    matrix: npt.NDArray[np.float32]
    """Shape (n_rows, width); categories have codes as met."""
    y: npt.NDArray[Any]
    """The label's class as its position in the contract, or a number; shape (n_rows,)."""
    at_s: npt.NDArray[np.float64]
    """The event's time, epoch seconds; 0 where rows have none."""
    row: npt.NDArray[np.int64]
    """The row's number in its table, from 1."""
    values: tuple[tuple[Any, ...], ...]
    """For each category column the values that the codes 1, 2, ... stand for."""


class DatasetReader:
    """Reads batches of rows into a data set of at most *n_max* rows."""

    def __init__(self, layout: Layout, *, is_text: bool, n_max: int | None, seed: int) -> None:
        """is_text: whether the table is one of texts; n_max: None for as many as memory should bear."""
        self._layout = layout
        self._contract = layout.contract
        self._is_text = is_text
        self._decoder = BatchDecoder(layout.contract)
        self._codes = [Codes() for _ in layout.categories]
        self._coders = [codes.learn for codes in self._codes]
        self.n_max = min(ROWS_MAX, max(1_000, CELLS_MAX // len(layout.names))) if n_max is None else n_max
        self._reservoir = Reservoir(self.n_max, seed)
        self.counts = Counts()

    def add(self, batch: TableBatch) -> None:
        """Take what can be learnt from of *batch*."""
        counts, contract = self.counts, self._contract
        decoded = self._decoder.decode(records_of(contract, batch, is_text=self._is_text))
        counts.n_rows += batch.n_rows
        for rejected in decoded.rejected:
            self._refuse(batch.first_row + rejected.position, rejected.reason.value, rejected.error)
        labels = labels_of(contract, batch, is_text=self._is_text)
        judge = contract.label_number if contract.task == "regression" else contract.label_class
        good, y = self._labelled(decoded.kept, labels, judge, batch.first_row)
        if not good:
            return
        whole = len(good) == len(decoded)
        chosen = decoded if whole else decoded.select(good)
        matrix = matrix_of(chosen, self._layout, self._coders)
        at_s = np.array(chosen.event_at_s, np.float64)
        self._reservoir.add(matrix, np.array(y), at_s, np.array(chosen.kept, np.int64) + batch.first_row)
        counts.n_usable += len(good)
        if contract.event_time_path is not None:
            first, last = float(at_s.min()), float(at_s.max())
            counts.first_at_s = first if counts.first_at_s is None else min(counts.first_at_s, first)
            counts.last_at_s = last if counts.last_at_s is None else max(counts.last_at_s, last)

    def dataset(self) -> Dataset:
        """What was read; there must be a usable row."""
        matrix, y, at_s, row = self._reservoir.rows()
        order = np.argsort(row)
        values = tuple(codes.values for codes in self._codes)
        return Dataset(matrix[order], y[order], at_s[order], row[order], values)

    def _labelled(
        self, kept: list[int], labels: list[Any], judge: Callable[[Any], float], first_row: int
    ) -> tuple[list[int], list[float]]:
        """Which of the *kept* rows have a label, as indices into these, and the labels."""
        good, y = [], []
        for index, position in enumerate(kept):
            label = labels[position]
            if label is None:
                self.counts.n_unlabelled += 1
                continue
            try:
                y.append(judge(label))
            except InvalidRecord as error:
                self._refuse(first_row + position, error.reason.value, str(error))
            else:
                good.append(index)
        return good, y

    def _refuse(self, row: int, reason: str, error: str) -> None:
        self.counts.refused[reason] += 1
        if self.counts.first_refused is None:
            self.counts.first_refused = f"row {row:,}: {error}"


def n_repeated(matrix: npt.NDArray[np.float32]) -> int:
    """How many rows of *matrix* equal an earlier one in every feature, shape (n_rows, width); by a 64-bit hash.

    >>> n_repeated(np.float32([[1, 2], [2, 1], [1, 2]]))
    1
    """
    factors = np.random.default_rng(0).integers(1, 2**63, matrix.shape[1], np.uint64) | np.uint64(1)
    hashes = np.zeros(len(matrix), np.uint64)
    for column, factor in zip(matrix.T, factors, strict=True):
        hashes = (hashes ^ np.ascontiguousarray(column).view(np.uint32)) * factor
        hashes ^= hashes >> np.uint64(32)
    return len(hashes) - len(np.unique(hashes))


def class_counts(dataset: Dataset, contract: Contract) -> list[int]:
    """How many rows have each of the contract's classes; empty for a regression."""
    counts: list[int] = np.bincount(dataset.y, minlength=len(contract.classes)).tolist() if contract.classes else []
    return counts
