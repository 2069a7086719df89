"""Header names that are no UTF-8: legal bytes on a topic, on which aiokafka's parser raises again and again.

A producer in C, Go or Rust may write them. Where one stands, the partition would never be read on: whoever fetches it
fails, and so does whoever takes it over. The names are not ours to judge, so what is no UTF-8 in them is escaped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH_AT = 8
_LENGTH = struct.Struct(">i")
_OVERHEAD = 12
"""Bytes of a batch before those that its length counts."""


class _Escaping(bytearray):
    """A buffer whose slices decode whatever they hold."""

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        return _Escaping(got) if isinstance(key, slice) else got

    def decode(self, *_: Any, **__: Any) -> str:
        return bytes(self).decode("utf-8", "backslashreplace")


class _Batch:
    """A record batch as aiokafka reads it, but for names that it cannot read."""

    def __init__(self, batch: Any, content: memoryview) -> None:
        self._batch = batch
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        n_read = 0
        try:
            for record in self._batch:
                yield record
                n_read += 1
        except UnicodeDecodeError:
            again = _DefaultRecordBatchPy(self._content)
            again._maybe_uncompress()  # noqa: SLF001
            again._buffer = _Escaping(again._buffer)  # noqa: SLF001
            yield from islice(again, n_read, None)


class AnyNames:
    """aiokafka's records of a fetch, whose batches are read whatever their headers are called."""

    def __init__(self, content: bytes) -> None:
        self._records = MemoryRecords(content)
        self._content = memoryview(content)
        self._at = 0

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return bool(self._records.has_next())

    def size_in_bytes(self) -> int:
        """Bytes of all of it."""
        return int(self._records.size_in_bytes())

    def next_batch(self) -> Any:
        """The next batch."""
        batch, begin = self._records.next_batch(), self._at
        self._at += _OVERHEAD + _LENGTH.unpack_from(self._content, begin + _LENGTH_AT)[0]
        return _Batch(batch, self._content[begin : self._at])


def read_any_header_names() -> None:
    """Have every consumer of this process read them."""
    fetcher.MemoryRecords = AnyNames
