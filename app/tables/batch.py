"""Consecutive rows of a table, held by column."""

from __future__ import annotations

from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.features.contract import FieldPath

ROWS_MAX = 10_000
"""Rows of a batch at most."""
BYTES_MAX = 16 << 20
"""What a batch takes of its file, about: rows with long texts come in smaller batches."""
COLUMNS_MAX = 10_000
"""Fields that records may have: beyond, their keys are data, and remembering all of them would have no bound."""


class TableBatch(NamedTuple):
    """Consecutive rows of a table."""

    first_row: int
    """The number of the first of them; the table's first row is 1, its header is none."""
    n_rows: int
    columns: Mapping[FieldPath, Sequence[Any]]
    """n_rows values for each column: texts where the table is one of texts, else JSON values; None where missing."""
    share_read: float
    """How much of the table has been read after this batch, from 0 to 1."""


def columns_of(rows: Sequence[Mapping[str, Any]], prefix: FieldPath = ()) -> dict[FieldPath, list[Any]]:
    """The fields of JSON objects as columns, those of nested objects by their paths; None where a row lacks one.

    >>> columns_of([{"a": 1, "b": {"c": 2}}, {"b": {"c": 3}}])
    {('a',): [1, None], ('b', 'c'): [2, 3]}
    """
    columns: dict[FieldPath, list[Any]] = {}
    for key in dict.fromkeys(chain.from_iterable(rows)):
        values = [row.get(key) for row in rows]
        kinds = set(map(type, values))
        path = (*prefix, key)
        if dict in kinds:
            inner = columns_of([value if type(value) is dict else {} for value in values], path)
            columns |= inner
        # What is an object in some rows only, or an empty one, is a column of its own too: nobody can take its values.
        if kinds - {dict, NoneType} or dict not in kinds or not inner:
            columns[path] = values
        if len(columns) > COLUMNS_MAX:
            raise ConfigurationError(
                f"the records have more than {COLUMNS_MAX:,} different fields, such as {'.'.join(path)}: their keys "
                "seem to be data; write those as a list, or leave them out"
            )
    return columns
