"""Parquet: read by pyarrow, which is heavy and not installed beside a worker; its values as JSON would have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import ConfigurationError
from app.tables.batch import ROWS_MAX, TableBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.features.contract import FieldPath
    from app.tables.source import Source


class ParquetTable:
    """A table of JSON values: the columns of a Parquet file, those of structs by their paths."""

    is_text = False

    def __init__(self, source: Source) -> None:
        try:
            from pyarrow import ArrowException, parquet  # noqa: PLC0415  # not for those who read no Parquet
        except ImportError:
            raise ConfigurationError(
                f"{source.path}: Parquet is read by the package pyarrow, which is not installed; install what "
                "requirements/dev.txt names (`make setup`), or give the table as CSV or JSON lines"
            ) from None
        self._path = source.path
        self._parquet = parquet
        self._error: Any = ArrowException

    def batches(self) -> Iterator[TableBatch]:
        """All rows, from the first; in memory at once is about one row group of the file."""
        try:
            with self._parquet.ParquetFile(self._path, memory_map=False, pre_buffer=False) as file:
                n_rows = max(1, file.metadata.num_rows)
                first_row = 1
                for batch in file.iter_batches(batch_size=ROWS_MAX):
                    columns: dict[FieldPath, Sequence[Any]] = {}
                    for name, array in zip(batch.schema.names, batch.columns, strict=True):
                        columns.update(_leaves((name,), array))
                    first_row += batch.num_rows
                    yield TableBatch(first_row - batch.num_rows, batch.num_rows, columns, (first_row - 1) / n_rows)
        except (self._error, OSError) as error:
            raise ConfigurationError(f"{self._path}: cannot be read as Parquet: {error}") from None


def _leaves(path: FieldPath, array: Any) -> Iterator[tuple[FieldPath, Sequence[Any]]]:
    """The columns inside *array*, a struct's members by their own paths."""
    from pyarrow import types  # noqa: PLC0415  # as above

    if types.is_struct(array.type):
        for at, member in enumerate(array.flatten()):
            yield from _leaves((*path, array.type.field(at).name), member)
    else:
        yield path, _values(array)


def _values(array: Any) -> Sequence[Any]:
    """The values of *array* as JSON has them: times in ISO 8601, decimals as numbers; what has no form stays itself."""
    import pyarrow as pa  # noqa: PLC0415  # as above
    from pyarrow import types  # noqa: PLC0415

    kind = array.type
    if types.is_dictionary(kind):
        return _values(array.dictionary_decode())
    if types.is_decimal(kind):
        return _values(array.cast(pa.float64()))
    if types.is_timestamp(kind):
        # Nanoseconds are cut: Python's times have none.
        moments = array.cast(pa.timestamp("us", kind.tz), safe=False).to_pylist()
        return [None if moment is None else moment.isoformat() for moment in moments]
    if types.is_date(kind):
        return [None if day is None else day.isoformat() for day in array.cast(pa.date32()).to_pylist()]
    if types.is_floating(kind) or (types.is_integer(kind) and not array.null_count):
        values: list[Any] = array.to_numpy(zero_copy_only=False).tolist()  # ten times as fast as to_pylist
        # JSON has no NaN; numpy has it where the array has null.
        return [None if value != value else value for value in values] if types.is_floating(kind) else values  # noqa: PLR0124
    return array.to_pylist()  # type: ignore[no-any-return]
