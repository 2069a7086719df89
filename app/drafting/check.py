"""Whether rows are good by the contract that was drafted from them: decoded as a worker would."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from app.features import BatchDecoder
from app.tables import records_of

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


def checked(contract: Contract, batch: TableBatch, *, is_text: bool) -> Check:
    """What would become of the rows of *batch*."""
    return checked_records(contract, records_of(contract, batch, is_text=is_text))


def checked_records(contract: Contract, records: Sequence[Record]) -> Check:
    """What would become of *records*."""
    rejected = BatchDecoder(contract).decode(records).rejected
    return Check(len(records), Counter(each.reason.value for each in rejected), rejected[0].error if rejected else None)
