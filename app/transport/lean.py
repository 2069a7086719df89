"""Fetched records as small structs: aiokafka's dataclass costs more than parsing the record does."""

from __future__ import annotations

from typing import Any

import msgspec


class LeanRecord(msgspec.Struct, gc=False):
    """A fetched record; the garbage collector need not look at the tens of thousands that are in flight."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds."""
    timestamp_type: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def lean_record(tp: Any, record: Any) -> LeanRecord:
    """*record* as aiokafka's parser made it, with where it came from."""
    return LeanRecord(
        tp.topic,
        tp.partition,
        record.offset,
        record.timestamp,
        record.timestamp_type,
        record.key,
        record.value,
        record.headers,
    )
