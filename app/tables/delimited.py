"""CSV, TSV and the like: quoted newlines, a byte order mark, any delimiter; every cell is a text."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, Any

from app.errors import ConfigurationError
from app.tables.batch import BYTES_MAX, ROWS_MAX, TableBatch
from app.tables.source import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.features.contract import FieldPath
    from app.tables.source import Source

DELIMITERS = "\t;|,"
"""Those that are looked for; of two that fit equally the earlier one: in "1,5;2,5" commas are no delimiters."""
_SNIFFED_CHARS = 64 << 10


class DelimitedTable:
    """A table of texts: the rows of a delimited file."""

    is_text = True

    def __init__(self, source: Source, *, delimiter: str | None, has_header: bool) -> None:
        with source.open() as (content, _), text_of(content, source.encoding) as text:
            head = text.read(_SNIFFED_CHARS)
        self._source = source
        self.delimiter = delimiter or sniffed(head, is_whole=len(head) < _SNIFFED_CHARS)
        self._has_header = has_header
        self.names = self._names()

    def batches(self) -> Iterator[TableBatch]:
        """All rows, from the first; ConfigurationError names the line that cannot be read."""
        with self._source.open() as (content, share_read), text_of(content, self._source.encoding) as text:
            lines = _Lines(text)
            rows = self._rows(lines)
            first_row = 1
            if self._has_header:
                next(rows, None)
            while batch := self._batch(rows, lines):
                columns: dict[FieldPath, Sequence[str]] = {
                    (name,): cells for name, cells in zip(self.names, zip(*batch, strict=True), strict=True)
                }
                yield TableBatch(first_row, len(batch), columns, share_read())
                first_row += len(batch)

    def _batch(self, rows: Iterator[list[str]], lines: _Lines) -> list[list[str]]:
        batch = []
        lines.n_chars = 0
        width = len(self.names)
        for row in rows:
            if len(row) != width:
                raise self._error(lines, f"{_cells(len(row))} where the {self._ruler} has {width}")
            batch.append(row)
            if len(batch) == ROWS_MAX or lines.n_chars > BYTES_MAX:
                break
        return batch

    @property
    def _ruler(self) -> str:
        return "header" if self._has_header else "first line"

    def _rows(self, lines: _Lines) -> Iterator[list[str]]:
        # The blank after a delimiter is layout, not part of the cell - unless blanks are the delimiter.
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.delimiter != " ", strict=True)
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            hint = "; is a quotation mark never closed, or another delimiter meant (--delimiter)?"
            raise self._error(lines, f"{error}{hint}") from None

    def _names(self) -> tuple[str, ...]:
        with self._source.open() as (content, _), text_of(content, self._source.encoding) as text:
            first = next(self._rows(_Lines(text)), None)
        if first is None:
            raise ConfigurationError(f"{self._source.path}: has no line that is not empty")
        if not self._has_header:
            return tuple(f"column_{number}" for number in range(1, len(first) + 1))
        names = tuple(name.strip() or f"column_{number}" for number, name in enumerate(first, start=1))
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise ConfigurationError(
                f'{self._source.path}: two columns are named "{twice[0]}"; rename one, or say --no-header if the first '
                "line is a row like the others (columns are then column_1, column_2, ...)"
            )
        return names

    def _error(self, lines: _Lines, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._source.path}: line {lines.n_lines}: {problem}")


class _Lines:
    """The lines of a text, counted."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = text
        self.n_lines = 0
        self.n_chars = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.n_lines += 1
            self.n_chars += len(line)
            yield line


def sniffed(head: str, *, is_whole: bool = True) -> str:
    r"""The delimiter that cuts the rows of *head*, the beginning of a file, most evenly and into most cells.

    >>> sniffed("a;b\n1,5;2,5\n"), sniffed("a\tb,c\n1\t2,3\n"), sniffed("one column\n1\n")
    (';', '\t', ',')
    """
    found: list[tuple[Any, str]] = []
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        if not is_whole and len(rows) > 1:
            del rows[-1]  # it may have been cut
        width, n_even = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width > 1:
            found.append(((n_even / len(rows), width), delimiter))
    return max(found, key=lambda each: each[0])[1] if found else ","


def _cells(number: int) -> str:
    return f"{number} cell{'s' * (number != 1)}"
