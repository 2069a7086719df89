"""A decoded batch: the good records as arrays, the others with the reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from app.errors import Reason
    from app.features.contract import Contract

WHOLE = -1
"""In place of the number of a row: the record itself, not a row of it."""


class Values(Protocol):
    """The values of n good records, by feature and all together."""

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n, contract.width); TypeError if one of them is a string."""

    def column(self, position: int) -> npt.NDArray[Any]:
        """The feature at *position*, shape (n, width): float32 (float, vector), int64, bool, or object (of str)."""

    def select(self, indices: Sequence[int]) -> Values:
        """The rows at *indices*."""


class Rejected(NamedTuple):
    """A record that can never be scored, or a row of one."""

    position: int
    """Where the record stood in the batch."""
    reason: Reason
    error: str
    row: int = WHOLE
    """Which of the record's rows it is."""


class DecodedBatch:
    """The records of a batch that are good, and those that are not.

    kept: positions in the batch, ascending; ids and event_at_s (epoch seconds) belong to them one by one. Where records
    have rows each good row has its place here, and the position of its record stands there as often.
    source_rows: where records have rows the number of each within its record, shape (n_kept,); else None.
    rejected: the others, in the order of the batch.
    """

    def __init__(  # noqa: PLR0913 - one value, built in one place
        self,
        contract: Contract,
        *,
        kept: list[int],
        ids: list[str],
        event_at_s: list[float],
        rows: Values,
        rejected: list[Rejected],
        source_rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """rows: the values of the kept records."""
        self.contract = contract
        self.kept = kept
        self.ids = ids
        self.event_at_s = event_at_s
        self.rejected = rejected
        self.source_rows = source_rows
        self._rows = rows
        self._matrix: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.kept)

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n_kept, contract.width); TypeError if one of them is a string."""
        if self._matrix is None:
            self._matrix = self._rows.matrix()
        return self._matrix

    def column(self, name: str) -> npt.NDArray[Any]:
        """The feature *name*, shape (n_kept, width): float32 (float, vector), int64, bool, or object (of str)."""
        return self._rows.column(self._position_of(name))

    def row_of(self, index: int) -> int:
        """The number within its record of the kept row at *index*; WHOLE where records have no rows."""
        return WHOLE if self.source_rows is None else int(self.source_rows[index])

    def select(self, indices: Sequence[int]) -> DecodedBatch:
        """The kept records at *indices* (into `kept`) as a batch of their own, without the rejected ones."""
        part = DecodedBatch(
            self.contract,
            kept=[self.kept[index] for index in indices],
            ids=[self.ids[index] for index in indices],
            event_at_s=[self.event_at_s[index] for index in indices],
            rows=self._rows.select(indices),
            rejected=[],
            source_rows=None if self.source_rows is None else self.source_rows[list(indices)],
        )
        if self._matrix is not None:
            part._matrix = self._matrix[list(indices)]
        return part

    def moved(self, by: int) -> DecodedBatch:
        """The same records as a part of a longer batch in which they stand *by* positions later."""
        if not by:
            return self
        part = DecodedBatch(
            self.contract,
            kept=[position + by for position in self.kept],
            ids=self.ids,
            event_at_s=self.event_at_s,
            rows=self._rows,
            rejected=[each._replace(position=each.position + by) for each in self.rejected],
            source_rows=self.source_rows,
        )
        part._matrix = self._matrix
        return part

    def _position_of(self, name: str) -> int:
        for position, feature in enumerate(self.contract.features):
            if feature.name == name:
                return position
        raise KeyError(name)
