"""Whether rows are good by the contract that was drafted from them: decoded as a worker would."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.features import BatchDecoder
from app.tables import events_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features import Contract
    from app.records import Record
    from app.tables import TableBatch


class Check(NamedTuple):
    """What became of rows."""

    n_rows: int
    refused: Counter[str]
    """How many by the reason of their dead letter."""
    example: str | None
    """What was wrong with the first of them."""

    @property
    def n_accepted(self) -> int:
        """Rows that would be scored."""
        return self.n_rows - self.refused.total()


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


def checked(contract: Contract, batch: TableBatch, *, is_text: bool) -> Check:
    """What would become of the rows of *batch*."""
    encode = msgspec.json.Encoder().encode
    events = events_of(contract, batch, is_text=is_text)
    return checked_records(contract, [RowRecord(encode(event), offset) for offset, event in enumerate(events)])


def checked_records(contract: Contract, records: Sequence[Record]) -> Check:
    """What would become of *records*."""
    rejected = BatchDecoder(contract).decode(records).rejected
    return Check(len(records), Counter(each.reason.value for each in rejected), rejected[0].error if rejected else None)
