"""What a column holds, learned batch by batch in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from app.features.exact import parse_time_s
from app.tables.cells import Kind, kind_of_cell, kind_of_json, numbers_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features.contract import FieldPath

VALUES_MAX = 1_000
"""Different values of a column that are remembered; one with more has neither categories nor classes."""
CHARS_MAX = 200
"""A column with a longer text than this holds no categories."""


@dataclass
class ColumnTally:
    """A column so far: how many of which kind, how large, and which values while they are few."""

    path: FieldPath
    kinds: Counter[Kind] = field(default_factory=Counter)
    examples: dict[Kind, tuple[int, Any]] = field(default_factory=dict)
    """The first value of each kind, with the number of its row."""
    low: float = math.inf
    high: float = -math.inf
    """Of numbers and elements of lists; of times in seconds since 1970."""
    values: Counter[Any] | None = field(default_factory=Counter)
    """How often each value occurs that is not missing; None once there are too many."""
    is_distinct: bool = True
    """Whether no value came twice while values were counted."""
    counts_rows: bool = True
    """Whether each value is the one before it plus one."""
    lengths: set[int] = field(default_factory=set)
    """Of its lists; some of them, if there are many."""
    has_gaps: bool = False
    """Whether an element of a list is missing."""
    _last: float | None = None

    @property
    def present(self) -> int:
        """Values that are there."""
        return self.kinds.total() - self.kinds[Kind.MISSING]

    @property
    def found(self) -> frozenset[Kind]:
        """The kinds of what is there; words for a missing value only where they can be nothing else."""
        found = {kind for kind, n in self.kinds.items() if n} - {Kind.MISSING}
        others = found - {Kind.MISSING_WORD}
        if others & {Kind.TEXT, Kind.CODE, Kind.DATE, Kind.ISO_TIME} and Kind.MISSING_WORD in found:
            return frozenset(others | {Kind.TEXT})
        return frozenset(others)

    def add(self, values: Sequence[Any], *, is_text: bool, first_row: int) -> None:
        """Count the *values* of the rows from *first_row* on; texts of which kinds are told, or JSON values."""
        if self.values is not None:
            self._remember(values, is_text=is_text)
        if not self._add_numbers(values, is_text=is_text, first_row=first_row):
            self.counts_rows = False
            if not self._add_alike(values, is_text=is_text, first_row=first_row):
                self._add_one_by_one(values, is_text=is_text, first_row=first_row)

    def _remember(self, values: Sequence[Any], *, is_text: bool) -> None:
        assert self.values is not None  # noqa: S101 - the caller has looked
        try:
            self.values.update(values)
        except TypeError:  # a list or an object is never a category
            self.values = None
            self.is_distinct = False
            return
        del self.values["" if is_text else None]
        self.is_distinct = max(self.values.values(), default=1) == 1
        if len(self.values) > VALUES_MAX or any(isinstance(v, str) and len(v) > CHARS_MAX for v in self.values):
            self.values = None

    def _add_numbers(self, values: Sequence[Any], *, is_text: bool, first_row: int) -> bool:
        """Whether all that is there was numbers, and has been counted."""
        found = numbers_in(values) if is_text else _json_numbers(values)
        if found is None:
            return False
        listed, is_whole = found
        numbers = np.array(listed, np.float64)
        kind = Kind.INT if is_whole else Kind.FLOAT
        self.kinds[Kind.MISSING] += len(values) - len(numbers)
        if not len(numbers):
            return True
        self._count(kind, len(numbers), values, first_row)
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        if self.counts_rows:
            before = [] if self._last is None else [self._last]
            is_whole = is_whole and len(numbers) == len(values)
            with np.errstate(over="ignore"):
                self.counts_rows = is_whole and bool((np.diff(numbers, prepend=before) == 1).all())
            self._last = float(numbers[-1])
        return True

    def _add_alike(self, values: Sequence[Any], *, is_text: bool, first_row: int) -> bool:
        """Whether all were of a kind that could be seen without looking at each, and have been counted."""
        if is_text:
            if self.values is not None or not self.kinds[Kind.TEXT]:
                return False
            n_missing = values.count("")  # it is free text already, whatever else there is
            self.kinds[Kind.TEXT] += len(values) - n_missing
        else:
            kinds = set(map(type, values))
            is_bool = kinds <= {bool, NoneType}
            if not is_bool and not (kinds <= {str, NoneType} and self.values is None and self.kinds[Kind.TEXT]):
                return False
            n_missing = values.count(None)
            if n_missing < len(values):
                self._count(Kind.BOOL if is_bool else Kind.TEXT, len(values) - n_missing, values, first_row)
        self.kinds[Kind.MISSING] += n_missing
        return True

    def _add_one_by_one(self, values: Sequence[Any], *, is_text: bool, first_row: int) -> None:
        kind_of = kind_of_cell if is_text else kind_of_json
        is_hashable = is_text or set(map(type, values)) <= {str, NoneType}
        # Columns of texts repeat themselves: what is told of one holds for all that are equal.
        for value, n in Counter(values).items() if is_hashable else ((value, 1) for value in values):
            kind = kind_of(value)
            if kind not in self.examples:
                self.examples[kind] = (first_row + values.index(value), value)
            self.kinds[kind] += n
            if kind in (Kind.INT, Kind.FLOAT):
                self._widen(float(value) if is_text else value)
            elif kind is Kind.ISO_TIME:
                self._widen(parse_time_s(value.strip(), "iso8601"))
            elif kind is Kind.LIST and not self._look_into(value):
                self.examples.setdefault(Kind.OTHER, (first_row + values.index(value), value))
                self.kinds[Kind.OTHER] += 1

    def _count(self, kind: Kind, n: int, values: Sequence[Any], first_row: int) -> None:
        if kind not in self.examples:
            self.examples[kind] = next(each for each in enumerate(values, first_row) if each[1] not in ("", None))
        self.kinds[kind] += n

    def _widen(self, value: float | None) -> None:
        if value is not None:
            self.low, self.high = min(self.low, float(value)), max(self.high, float(value))

    def _look_into(self, values: list[Any]) -> bool:
        """Whether a list is one of numbers, as a vector is; then they are counted."""
        if len(self.lengths) <= 2:  # noqa: PLR2004 - more than one length is too many already
            self.lengths.add(len(values))
        kinds = set(map(kind_of_json, values))
        if not kinds <= {Kind.INT, Kind.FLOAT, Kind.MISSING}:
            return False
        self.has_gaps |= Kind.MISSING in kinds
        numbers = [value for value in values if kind_of_json(value) is not Kind.MISSING]
        self._widen(min(numbers, default=None))
        self._widen(max(numbers, default=None))
        return True


def _json_numbers(values: Sequence[Any]) -> tuple[list[float], bool] | None:
    """The numbers among JSON *values* that are numbers or missing, and whether all are whole; else None."""
    kinds = set(map(type, values))
    if not kinds <= {int, float, NoneType} or kinds == {NoneType}:
        return None
    present = [value for value in values if value is not None] if NoneType in kinds else values
    try:
        numbers = list(map(float, present))
    except OverflowError:
        return None
    if float in kinds:
        numbers = [number for number in numbers if not math.isnan(number)]
        if not all(map(math.isfinite, numbers)):
            return None
    return numbers, float not in kinds
