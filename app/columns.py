"""Records of one partition as columns: what they share is said once, and bytes are made for many rows at a time.

The pieces of a row, put side by side, are its bytes. Rows whose pieces have the same widths are one block of an array,
and numpy writes whole columns of it, at a fraction of what it takes to put the rows together one by one.

    piece        {"id":"   e-1     ","version":1,"score":   0.250000000000000   ,"scored_at":1.5}
    kind         bytes     Texts   bytes                    Digits              bytes
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from app.records import OutRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    Block = npt.NDArray[np.uint8]
    """Bytes of rows that are equally wide, shape (n, width)."""
    Rows = slice | npt.NDArray[np.intp]

_TABLE_DIGITS = 4
_TABLE = np.array([b"%04d" % number for number in range(10**_TABLE_DIGITS)]).view(np.uint8).reshape(-1, _TABLE_DIGITS)


class Texts:
    """A piece for each row, of any width; None for none."""

    def __init__(self, texts: Sequence[bytes | None]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def widths(self) -> npt.NDArray[np.int64]:
        """Bytes of each row, shape (n,); -1 where there is none."""
        try:
            return np.fromiter(map(len, self.texts), np.int64, len(self.texts))  # type: ignore[arg-type]
        except TypeError:
            return np.array([-1 if text is None else len(text) for text in self.texts], np.int64)

    def is_absent(self, rows: Rows) -> bool:
        """Whether *rows*, which are alike, have none."""
        return bool(self.widths[rows][0] < 0)

    def at(self, row: int) -> bytes | None:
        """The piece of one row."""
        return self.texts[row]

    def block(self, rows: Rows) -> Block:
        """The pieces of *rows*, which are equally wide."""
        if isinstance(rows, slice):
            chosen = self.texts[rows]
        else:
            chosen = itemgetter(*rows.tolist())(self.texts) if len(rows) > 1 else [self.texts[int(rows[0])]]
        width = max(0, int(self.widths[rows][0]))
        return np.frombuffer(b"".join(filter(None, chosen)), np.uint8).reshape(len(chosen), width)


class Digits:
    """A piece for each row, all of one width."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.widths = block.shape[1]

    def __len__(self) -> int:
        return len(self._block)

    def at(self, row: int) -> bytes:
        """The piece of one row."""
        return bytes(self._block[row])

    def block(self, rows: Rows) -> Block:
        """The pieces of *rows*."""
        return self._block[rows]


Piece = bytes | Texts | Digits
"""Bytes: the same in every row."""


def whole_numbers(numbers: npt.NDArray[np.uint64], n_digits: int) -> Block:
    """*numbers*, shape (n,), in decimal with leading zeros, shape (n, n_digits); each must be below 10**n_digits.

    >>> whole_numbers(np.array([7, 12345], np.uint64), 6).tobytes()
    b'000007012345'
    """
    n_parts = -(-n_digits // _TABLE_DIGITS)
    digits = np.empty((len(numbers), n_parts, _TABLE_DIGITS), np.uint8)
    rest = numbers
    for part in range(n_parts - 1, 0, -1):
        above = rest // np.uint64(len(_TABLE))
        digits[:, part] = _TABLE[rest - above * np.uint64(len(_TABLE))]
        rest = above
    digits[:, 0] = _TABLE[rest]
    return digits.reshape(len(numbers), -1)[:, n_parts * _TABLE_DIGITS - n_digits :]


def fractions(parts: npt.NDArray[np.uint64], n_digits: int, n_places: int) -> Block:
    """*parts* / 10**n_places in decimal, shape (n, n_digits + 1 + n_places), with n_digits before the point.

    >>> fractions(np.array([1500], np.uint64), 2, 3).tobytes()
    b'01.500'
    """
    digits = whole_numbers(parts, n_digits + n_places)
    block = np.empty((len(parts), n_digits + 1 + n_places), np.uint8)
    block[:, :n_digits] = digits[:, :n_digits]
    block[:, n_digits] = ord(".")
    block[:, n_digits + 1 :] = digits[:, n_digits:]
    return block


class Header(NamedTuple):
    """A header of every record."""

    name: str
    value: Piece


class RecordColumns(Sequence[OutRecord]):
    """Records for one partition, by column; as a sequence it gives them one by one, which is slow.

    timestamps_ms: shape (n,), int64. value: the pieces that make the value of each record.
    """

    def __init__(
        self, keys: Texts, value: Sequence[Piece], timestamps_ms: npt.NDArray[np.int64], headers: Sequence[Header]
    ) -> None:
        self.keys = keys
        self.value = value
        self.timestamps_ms = timestamps_ms
        self.headers = headers

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def value_bytes(self) -> int:
        """Bytes of all values together."""
        return sum(_bytes_of(piece, len(self)) for piece in self.value)

    @overload
    def __getitem__(self, index: int) -> OutRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[OutRecord]: ...
    def __getitem__(self, index: int | slice) -> OutRecord | list[OutRecord]:
        if isinstance(index, slice):
            return [self._record(row) for row in range(*index.indices(len(self)))]
        return self._record(range(len(self))[index])

    def __iter__(self) -> Iterator[OutRecord]:
        return map(self._record, range(len(self)))

    def _record(self, row: int) -> OutRecord:
        headers = [(header.name, _at(header.value, row) or b"") for header in self.headers]
        value = b"".join(_at(piece, row) or b"" for piece in self.value)
        return OutRecord(self.keys.at(row), value, int(self.timestamps_ms[row]), headers)


def _bytes_of(piece: Piece, n: int) -> int:
    return n * len(piece) if isinstance(piece, bytes) else int(np.broadcast_to(piece.widths, n).clip(0).sum())


def _at(piece: Piece, row: int) -> bytes | None:
    return piece if isinstance(piece, bytes) else piece.at(row)


def side_by_side(pieces: Sequence[bytes | Block], n: int) -> Block:
    """Rows of *pieces*, each the same bytes for all n rows or a block of them."""
    widths = [len(piece) if isinstance(piece, bytes) else piece.shape[1] for piece in pieces]
    block = np.empty((n, sum(widths)), np.uint8)
    for piece, start, width in zip(pieces, accumulate(widths, initial=0), widths, strict=False):
        if width:
            block[:, start : start + width] = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else piece
    return block


def alike(texts: Iterable[Texts], rows: slice) -> list[npt.NDArray[np.intp]]:
    """The positions within *rows* of those that have the widths of all *texts* in common; ascending in each.

    >>> [each.tolist() for each in alike([Texts([b"abc", b"abcd", b"def"])], slice(0, 3))]
    [[0, 2], [1]]
    """
    code = np.zeros(rows.stop - rows.start, np.int64)
    for text in texts:
        widths = text.widths[rows]
        if (widths != widths[0]).any():
            code = code * (int(widths.max()) + 2) + widths + 1  # -1 is a width too
    if not code.any():
        return [np.arange(len(code))]
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
