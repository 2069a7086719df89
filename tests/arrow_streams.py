"""Arrow IPC streams for tests, written by Arrow's own library."""

from __future__ import annotations

import io

import pyarrow as pa
from pyarrow import ipc


def stream(table, *, rows_per_batch=None, **options):
    """The bytes of *table* (or of a dict of columns) as an Arrow IPC stream; *options* as for IpcWriteOptions."""
    if isinstance(table, dict):
        table = pa.table(table)
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)
    return sink.getvalue()


def rows_of(value):
    """The rows of an Arrow IPC stream as dicts, after a full validation."""
    table = ipc.open_stream(value).read_all()
    table.validate(full=True)
    return table.to_pylist()
