"""From rows to Kafka records: what a producer of the rows would send, so that they are decoded as by a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from app.tables.events import events_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features.contract import Contract
    from app.tables.batch import TableBatch


@dataclass
class RowRecord:
    """A row as the Kafka record that it would be."""

    value: bytes | None
    offset: int
    topic: str = "rows"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def records_of(contract: Contract, batch: TableBatch, *, is_text: bool) -> list[RowRecord]:
    """The rows of *batch* as records whose offsets are the numbers of the rows."""
    encode = msgspec.json.Encoder().encode
    events = events_of(contract, batch, is_text=is_text)
    return [RowRecord(encode(event), offset) for offset, event in enumerate(events, start=batch.first_row)]
