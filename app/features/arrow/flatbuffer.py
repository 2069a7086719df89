"""Tables of a flatbuffer, read field by field: every offset is looked at before it is followed.

table   [ -> vtable ][ field ][ field ] ...        vtable  [ size ][ size ][ where field 0 is ][ field 1 ] ...
"""

from __future__ import annotations

import struct
from typing import Any


class Malformed(ValueError):
    """The bytes are not what they say that they are."""


U16, I16, U32, I32, I64 = (struct.Struct(f"<{letter}") for letter in "HhIiq")
U8 = struct.Struct("<B")
_VTABLE_HEAD = 4


class Table:
    """A table in *data* at *at*; Malformed or struct.error where it leaves the data."""

    __slots__ = ("_at", "_data", "_fields")

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        vtable = at - number(data, at, I32)
        size = number(data, vtable, U16)
        if size < _VTABLE_HEAD or size % 2:
            raise Malformed(f"a vtable of {size} bytes")
        n_fields = (size - _VTABLE_HEAD) // 2
        self._fields: tuple[int, ...] = struct.unpack_from(f"<{n_fields}H", data, vtable + _VTABLE_HEAD)

    @classmethod
    def root(cls, data: bytes) -> Table:
        """The table that the whole of *data* is."""
        return cls(data, number(data, 0, U32))

    def number(self, field: int, kind: struct.Struct, default: int = 0) -> int:
        """The number in *field*, *default* if it is absent."""
        at = self._where(field)
        return number(self._data, at, kind) if at else default

    def table(self, field: int) -> Table | None:
        """The table that *field* refers to."""
        at = self._where(field)
        return Table(self._data, self._followed(at)) if at else None

    def tables(self, field: int) -> list[Table]:
        """The tables of the vector that *field* refers to, none if it is absent."""
        begin, length = self._vector(field)
        return [Table(self._data, self._followed(at)) for at in range(begin, begin + 4 * length, 4)]

    def numbers(self, field: int, *, each: int = 1) -> tuple[int, ...]:
        """64-bit numbers of the vector that *field* refers to, *each* of them to an element."""
        begin, length = self._vector(field, size=8 * each)
        return struct.unpack_from(f"<{each * length}q", self._data, begin)

    def text(self, field: int) -> str:
        """The UTF-8 text that *field* refers to, empty if it is absent."""
        begin, length = self._vector(field, size=1)
        return self._data[begin : begin + length].decode()

    def _where(self, field: int) -> int:
        """Where the value of *field* stands, 0 if it is absent."""
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._at + offset if offset else 0

    def _followed(self, at: int) -> int:
        return at + number(self._data, at, U32)

    def _vector(self, field: int, *, size: int = 4) -> tuple[int, int]:
        """Where the vector that *field* refers to begins, and how many elements of *size* bytes it has."""
        at = self._where(field)
        if not at:
            return 0, 0
        at = self._followed(at)
        length = number(self._data, at, U32)
        if at + 4 + size * length > len(self._data):
            raise Malformed(f"a vector of {length} elements in {len(self._data)} bytes")
        return at + 4, length


def number(data: bytes, at: int, kind: struct.Struct) -> int:
    """The number of *kind* in *data* at *at*."""
    if at < 0:  # Python would count from the end
        raise Malformed("an offset that leads before the beginning")
    read: Any = kind.unpack_from(data, at)[0]
    return int(read)
