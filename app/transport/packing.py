"""Record batches out of columns: Kafka's message format 2, written for many rows at a time.

    record        length | attributes | timestamp delta | offset delta | key | value | headers
    record batch  base offset, length, epoch, magic, CRC-32C, attributes, last offset delta, timestamps, producer, count

Lengths are varints, so rows that have all of them alike are one block of an array (app/columns.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from aiokafka.record.util import calc_crc32c

from app.columns import Piece, RecordColumns, Texts, alike, side_by_side

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.columns import Block, Rows

HEADER = struct.Struct(">qiibIhiqqqhii")
"""Of a record batch: base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first timestamp,
greatest timestamp, producer id, producer epoch, first sequence number, count."""
_CRC = struct.Struct(">I")
_LENGTH_FROM, _CRC_AT, _CHECKED_FROM = 12, 17, 21
_MAGIC, _TRANSACTIONAL = 2, 1 << 4
_NO_ATTRIBUTES = b"\0"
_FRAME_BYTES = 5 * 5 + 1
"""Of a record beside key, value and headers, at most: its length, two deltas, two lengths, attributes."""


def varint(number: int) -> bytes:
    r"""*number* as Kafka writes it: zigzag, seven bits to a byte, the lowest first.

    >>> varint(0), varint(-1), varint(150)
    (b'\x00', b'\x01', b'\xac\x02')
    """
    rest = (number << 1) ^ (number >> 63)
    written = bytearray()
    while rest > 0x7F:  # noqa: PLR2004  seven bits
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


def varint_widths(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bytes of the varint of each of *numbers*, which are not negative; shape (n,)."""
    widths = np.ones(len(numbers), np.int64)
    bound = 1 << 6
    while (greater := numbers >= bound).any():
        widths += greater
        bound <<= 7
    return widths


def varints(numbers: npt.NDArray[np.int64], width: int) -> Block:
    """The varints of *numbers*, which all take *width* bytes; shape (n, width)."""
    rest = (numbers << 1).astype(np.uint64)
    block = np.empty((len(numbers), width), np.uint8)
    for at in range(width):
        block[:, at] = rest & np.uint64(0x7F)
        rest >>= np.uint64(7)
    block[:, : width - 1] |= 0x80
    return block


class Packer:
    """Makes record batches of *columns*."""

    def __init__(self, columns: RecordColumns) -> None:
        self._columns = columns
        self._value = merged(columns.value)
        headers: list[Piece] = [varint(len(columns.headers))]
        for name, value in columns.headers:
            headers += [varint(len(name)) + name.encode(), *_framed(value)]
        self._headers = merged(headers)
        pieces = [columns.keys, *self._value, *self._headers]
        self._texts = [piece for piece in pieces if isinstance(piece, Texts)]
        self._longest = sum(map(_widest, pieces)) + _FRAME_BYTES
        """Bytes of a record at most."""

    def __len__(self) -> int:
        return len(self._columns)

    def rows_from(self, start: int, max_bytes: int) -> slice:
        """The rows from *start* on that make a record batch of at most *max_bytes*, or of a single record."""
        return slice(start, min(len(self), start + max(1, (max_bytes - HEADER.size) // self._longest)))

    def cuts(self, max_bytes: int) -> Iterator[slice]:
        """The rows of all record batches of at most *max_bytes*, unless a single record is larger."""
        rows = slice(0, 0)
        while rows.stop < len(self):
            rows = self.rows_from(rows.stop, max_bytes)
            yield rows

    def batch(self, rows: slice) -> RecordBatch:
        """The record batch of *rows*."""
        timestamps_ms = self._columns.timestamps_ms[rows]
        first_ms, latest_ms = int(timestamps_ms.min()), int(timestamps_ms.max())
        records = self._records(rows, timestamps_ms - first_ms)
        return RecordBatch(records, rows.stop - rows.start, first_ms, latest_ms)

    def _records(self, rows: slice, deltas_ms: npt.NDArray[np.int64]) -> bytes:
        """The records of *rows*, one after the other."""
        offsets = np.arange(len(deltas_ms), dtype=np.int64)
        framed = (deltas_ms, varint_widths(deltas_ms)), (offsets, varint_widths(offsets))
        # Deltas grow wider a few times within a batch, texts may change their widths from row to row.
        grows = np.flatnonzero(np.diff(framed[0][1]) | np.diff(framed[1][1])) + 1
        made = []
        for start, stop in pairwise([0, *grows.tolist(), len(offsets)]):
            deltas = [varints(numbers[start:stop], int(widths[start])) for numbers, widths in framed]
            made.append(self._rows(slice(rows.start + start, rows.start + stop), deltas))
        return b"".join(made)

    def _rows(self, rows: slice, deltas: Sequence[Block]) -> bytes:
        """The records of *rows*; deltas: of timestamps and offsets, as varints."""
        blocks = alike(self._texts, rows)
        if len(blocks) == 1:
            return self._block(rows, deltas).tobytes()
        made: list[bytes] = []
        for within in blocks:
            block = self._block(within + rows.start, [delta[within] for delta in deltas])
            made += block.view(f"V{block.shape[1]}").ravel().tolist()
        places = np.empty(len(made), np.intp)
        places[np.concatenate(blocks)] = np.arange(len(made))
        return b"".join(itemgetter(*places.tolist())(made))

    def _block(self, rows: Rows, deltas: Sequence[Block]) -> Block:
        """The records of *rows*, whose pieces are equally wide; deltas: of timestamps and offsets, as varints."""
        keys = self._columns.keys
        key, value = keys.block(rows), [_of(piece, rows) for piece in self._value]
        headers = [_of(piece, rows) for piece in self._headers]
        key_bytes = -1 if keys.is_absent(rows) else key.shape[1]
        lengths = varint(key_bytes), varint(sum(map(_width, value)))
        body = [_NO_ATTRIBUTES, *deltas, lengths[0], key, lengths[1], *value, *headers]
        return side_by_side([varint(sum(map(_width, body))), *body], len(key))


class RecordBatch:
    """A record batch, ready but for whose it is; also what aiokafka's producer takes for a batch that is full."""

    def __init__(self, records: bytes, n: int, first_ms: int, latest_ms: int) -> None:
        self._records = records
        self._n = n
        self._times_ms = first_ms, latest_ms
        self._producer = -1, -1, -1
        self._buffer: bytearray | None = None

    def bytes_of(self, producer_id: int, epoch: int, sequence: int, *, transactional: bool) -> bytearray:
        """The whole batch, as this producer's records from *sequence* on."""
        n, records = self._n, self._records
        attributes = _TRANSACTIONAL if transactional else 0
        length = HEADER.size - _LENGTH_FROM + len(records)
        whole = bytearray(HEADER.size + len(records))
        whole[HEADER.size :] = records
        identity = producer_id, epoch, sequence
        HEADER.pack_into(whole, 0, 0, length, -1, _MAGIC, 0, attributes, n - 1, *self._times_ms, *identity, n)
        _CRC.pack_into(whole, _CRC_AT, calc_crc32c(memoryview(whole)[_CHECKED_FROM:]))
        return whole

    # -- as aiokafka's BatchBuilder

    def record_count(self) -> int:
        """How many records it has."""
        return self._n

    def closed(self) -> bool:
        """Nothing can be added."""
        return True

    def close(self) -> None:
        """It is closed."""

    def append(self, **_: object) -> None:
        """None: it is full."""

    def size(self) -> int:
        """Its bytes."""
        return HEADER.size + len(self._records)

    def _set_producer_state(self, producer_id: int, epoch: int, sequence: int) -> None:
        self._producer = producer_id, epoch, sequence
        self._buffer = None

    def _build(self) -> bytearray:
        if self._buffer is None:
            self._buffer = self.bytes_of(*self._producer, transactional=False)
        return self._buffer


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """*pieces* with neighbours that are the same in all rows made one.

    >>> merged([b"a", b"b", Texts([b"c"]), b"d"])[::2]
    [b'ab', b'd']
    """
    made: list[Piece] = []
    for piece in pieces:
        if made and isinstance(piece, bytes) and isinstance(made[-1], bytes):
            made[-1] += piece
        else:
            made.append(piece)
    return made


def _framed(value: Piece) -> list[Piece]:
    """*value* with its length before it."""
    if isinstance(value, Texts):
        return [Texts([varint(len(text or b"")) + (text or b"") for text in value.texts])]
    return [varint(len(value) if isinstance(value, bytes) else value.widths), value]


def _of(piece: Piece, rows: Rows) -> bytes | Block:
    return piece if isinstance(piece, bytes) else piece.block(rows)


def _width(piece: bytes | Block) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.shape[1]


def _widest(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else int(np.max(piece.widths))
