"""JSON lines: an object on each line, as they will arrive on a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import ConfigurationError
from app.tables.batch import BYTES_MAX, ROWS_MAX, TableBatch, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.tables.source import Source

_BOM = b"\xef\xbb\xbf"


class JsonLinesTable:
    """A table of JSON values: the fields of the objects in a file, nested ones by their paths."""

    is_text = False

    def __init__(self, source: Source) -> None:
        self._source = source

    def batches(self) -> Iterator[TableBatch]:
        """All rows, from the first; ConfigurationError names the line that is no JSON object."""
        with self._source.open() as (content, share_read):
            rows: list[dict[str, Any]] = []
            n_bytes, first_row = 0, 1
            decode = msgspec.json.Decoder().decode
            for number, line in enumerate(content, start=1):
                text = line.removeprefix(_BOM).strip() if number == 1 else line
                if text.isspace() or not text:
                    continue
                rows.append(self._object(decode, text, number))
                n_bytes += len(line)
                if len(rows) == ROWS_MAX or n_bytes > BYTES_MAX:
                    yield TableBatch(first_row, len(rows), columns_of(rows), share_read())
                    first_row += len(rows)
                    rows, n_bytes = [], 0
            if rows:
                yield TableBatch(first_row, len(rows), columns_of(rows), 1.0)

    def _object(self, decode: Any, line: bytes, number: int) -> dict[str, Any]:
        try:
            value = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigurationError(
                f"{self._source.path}: line {number}: is not JSON: {error}; each line is an object, as by: jq -c . FILE"
            ) from None
        if type(value) is not dict:
            raise ConfigurationError(f"{self._source.path}: line {number}: is JSON, but no object in braces")
        return value
