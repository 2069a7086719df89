"""Records of many rows: Arrow IPC streams of one record batch each, as pyarrow writes them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def stream_maker(names: Sequence[str], rows: np.ndarray, rows_per_record: int) -> Callable[[int], bytes]:
    """A function from a record's number to its value: each of its rows has an id of its own, `e-<number of the event>`.

    rows: the numbers of the columns *names*, float32 of shape (n, n_names), which come again and again.
    """
    schema: Any = pa.schema([("id", pa.string()), *((name, pa.float32()) for name in names)])

    def make(number: int) -> bytes:
        events = range(number * rows_per_record, (number + 1) * rows_per_record)
        chosen = rows[np.arange(events.start, events.stop) % len(rows)]
        columns = [pa.array([f"e-{event}" for event in events]), *(pa.array(column) for column in chosen.T.copy())]
        sink = io.BytesIO()
        with ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.record_batch(columns, schema=schema))
        return sink.getvalue()

    return make
