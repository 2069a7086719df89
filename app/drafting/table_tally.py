"""What a table holds: a tally for each column, a sample of whole rows, and which columns go with the label."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app.drafting.column_tally import ColumnTally
from app.drafting.relabelling import RelabellingWatch
from app.tables import TableBatch
from app.tables.cells import Kind, kind_of_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features.contract import FieldPath

SAMPLE_MAX = 4_000
"""Rows that are kept, spread evenly over the table."""
SAMPLE_MAX_CELLS = 1_000_000
"""Fewer rows are kept of a table with very many columns."""


class TableTally:
    """The rows so far. *label* is the path of the label, where the table has one; *is_text* what its values are."""

    def __init__(self, *, is_text: bool, label: FieldPath | None = None) -> None:
        self.is_text = is_text
        self.label = label
        self.columns: dict[FieldPath, ColumnTally] = {}
        self.relabellings = RelabellingWatch()
        self.n_rows = 0
        self._sample: dict[FieldPath, list[Any]] = {}
        self._n_sampled = 0
        self._stride = 1

    def add(self, batch: TableBatch) -> None:
        """Count the rows of *batch*, which follows on those before it."""
        for path, values in batch.columns.items():
            tally = self.columns.get(path)
            if tally is None:
                tally = self.columns[path] = ColumnTally(path)
                tally.kinds[Kind.MISSING] += self.n_rows
            tally.add(values, is_text=self.is_text, first_row=batch.first_row)
        for path, tally in self.columns.items():
            if path not in batch.columns:
                tally.kinds[Kind.MISSING] += batch.n_rows
        if self.label is not None and self.label in batch.columns:
            self.relabellings.add(batch.columns, batch.columns[self.label], self.label)
        self._keep(batch)
        self.n_rows += batch.n_rows

    def sample(self) -> TableBatch:
        """Some whole rows, spread evenly over the table."""
        return TableBatch(1, self._n_sampled, self._sample, 1.0)

    def numbers(self, path: FieldPath) -> list[float]:
        """The sampled values of the column of numbers at *path*, NaN where there is none."""
        return [_number(value, is_text=self.is_text) for value in self._sample.get(path, ())]

    def _keep(self, batch: TableBatch) -> None:
        start = -self.n_rows % self._stride
        nothing: Any = "" if self.is_text else None
        n_kept = len(range(start, batch.n_rows, self._stride))
        for path in [*self._sample, *(path for path in batch.columns if path not in self._sample)]:
            kept = self._sample.setdefault(path, [nothing] * self._n_sampled)
            values: Sequence[Any] | None = batch.columns.get(path)
            kept += [nothing] * n_kept if values is None else values[start :: self._stride]
        self._n_sampled += n_kept
        n_rows_max = min(SAMPLE_MAX, max(100, SAMPLE_MAX_CELLS // max(1, len(self._sample))))
        while self._n_sampled > n_rows_max:
            self._stride *= 2
            for path, kept in self._sample.items():
                self._sample[path] = kept[::2]
            self._n_sampled = (self._n_sampled + 1) // 2


def _number(value: Any, *, is_text: bool) -> float:
    if is_text:
        return float(value) if kind_of_cell(value) in (Kind.INT, Kind.FLOAT) else math.nan
    return float(value) if type(value) in (int, float) else math.nan
