"""A table by the name of its file, whatever its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.errors import ConfigurationError
from app.tables.delimited import DelimitedTable
from app.tables.json_lines import JsonLinesTable
from app.tables.parquet import ParquetTable
from app.tables.source import find_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.tables.batch import TableBatch

_NAMED = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


class Table(Protocol):
    """Rows that can be read from the first on, as often as one likes, in bounded memory."""

    is_text: bool
    """Whether its values are texts, of which the contract says what they mean; else they are JSON values."""

    def batches(self) -> Iterator[TableBatch]:
        """All rows, from the first."""


def open_table(path: Path, *, delimiter: str | None = None, has_header: bool = True) -> Table:
    """The table in the file *path*: what it is, is seen from its first bytes, not from its name.

    delimiter: of a delimited file, one character or a name such as `tab`; None looks for it. has_header: whether its
    first line names the columns, which are else `column_1`, `column_2`, ... Raises ConfigurationError.
    """
    source = find_source(path)
    if source.format == "parquet":
        return ParquetTable(source)
    if source.format == "json lines" and delimiter is None and has_header:
        return JsonLinesTable(source)
    return DelimitedTable(source, delimiter=_character(delimiter), has_header=has_header)


def _character(delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    character = _NAMED.get(delimiter.lower(), delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise ConfigurationError(
            f'--delimiter {delimiter}: must be one character or a name, for example --delimiter ";" or --delimiter tab'
        )
    return character
