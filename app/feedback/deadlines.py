"""The labels that wait, in the order in which their time runs out: on disk, with the newest in memory.

A deadline's key is a prefix, the deadline as eight bytes that sort as the number does, and the hash of the id; its
value is empty.
"""

from __future__ import annotations

import heapq
import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.feedback.store import Store

PREFIX, _STOP = b"d", b"e"
_AT_ONCE = 128
"""Deadlines read from the store at a time."""
_pack = struct.Struct(">d").pack
_unpack = struct.Struct(">d").unpack_from


def deadline_key(deadline: float, entry_key: bytes) -> bytes:
    """The key of a deadline (epoch seconds, not negative) of the id with *entry_key*.

    >>> deadline_key(9.5, b"e1") < deadline_key(10.0, b"e0")
    True
    """
    return PREFIX + _pack(deadline) + entry_key[1:]


class Deadlines:
    """The deadlines of the labels that wait; `added` and `removed` are what the store does not know yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.added: dict[bytes, bytes] = {}
        self.removed: set[bytes] = set()
        self._heap: list[bytes] = []
        self._stored: list[bytes] = []
        """The next ones of the store, the last of the list first."""
        self._more = True
        """Whether the store may hold others after those."""
        self._cursor = PREFIX
        self.next_at = -math.inf
        """No deadline is before this; -inf until the store was asked."""

    def add(self, deadline: float, entry_key: bytes) -> None:
        """A label waits until E passes *deadline*."""
        key = deadline_key(deadline, entry_key)
        self.added[key] = b""
        self.removed.discard(key)
        heapq.heappush(self._heap, key)
        self.next_at = min(self.next_at, deadline)

    def remove(self, deadline: float, entry_key: bytes) -> None:
        """The label waits no longer."""
        key = deadline_key(deadline, entry_key)
        self.added.pop(key, None)
        self.removed.add(key)

    def pop_until(self, now: float) -> list[bytes]:
        """The entry keys whose deadline is before *now*, the earliest first; they are removed."""
        due: list[bytes] = []
        stop = PREFIX + _pack(now) if now >= 0 else PREFIX
        while True:
            key = self._first()
            if key is None or key >= stop:
                self.next_at = math.inf if key is None else _unpack(key, 1)[0]
                return due
            self.added.pop(key, None)
            self.removed.add(key)
            due.append(b"e" + key[9:])

    def checkpointed(self) -> None:
        """The store now holds what was `added` and lacks what was `removed`."""
        if self.added:
            # The new ones lie anywhere between those that were read ahead.
            self._cursor = min(self._cursor, PREFIX if math.isinf(self.next_at) else PREFIX + _pack(self.next_at))
            self._stored, self._more = [], True
        self._stored = [key for key in self._stored if key not in self.removed]
        self.added, self._heap, self.removed = {}, [], set()

    def _first(self) -> bytes | None:
        """The earliest that still waits."""
        heap, stored = self._heap, self._stored
        while heap and heap[0] not in self.added:
            heapq.heappop(heap)
        while True:
            if not stored and self._more:
                found = [key for key, _ in self._store.scan(self._cursor, _STOP, _AT_ONCE)]
                self._more = len(found) == _AT_ONCE
                if found:
                    self._cursor = found[-1] + b"\0"
                stored = self._stored = found[::-1]
            if not stored or stored[-1] not in self.removed:
                break
            stored.pop()
        if stored and (not heap or stored[-1] < heap[0]):
            return stored[-1]
        return heap[0] if heap else None
