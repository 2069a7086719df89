"""Which partition of the ledger topic an id belongs to: murmur2 as Kafka's Java clients partition keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SEED = 0x9747B28C
_M = 0x5BD1E995
_R = 24
_MASK = 0xFFFFFFFF
_TOGETHER_MAX_BYTES = 256
"""Longer keys are hashed one by one: side by side every key takes the room of the longest."""


def partitions_of(keys: Sequence[bytes], n_partitions: int) -> list[int]:
    """The partition of each key among *n_partitions*, as Java's default partitioner has it.

    >>> partitions_of([b"order-1", b"order-2"], 4)
    [0, 2]
    """
    if not keys:
        return []
    hashes = _hashes([key if len(key) <= _TOGETHER_MAX_BYTES else b"" for key in keys])
    for position, key in enumerate(keys):
        if len(key) > _TOGETHER_MAX_BYTES:
            hashes[position] = murmur2(key)
    partitions: list[int] = ((hashes & 0x7FFFFFFF) % n_partitions).tolist()
    return partitions


def murmur2(key: bytes) -> int:
    """The 32-bit hash of one key, unsigned."""
    n_words = len(key) // 4
    h = _SEED ^ (len(key) & _MASK)
    for k in np.frombuffer(key, "<u4", n_words).tolist():
        k = k * _M & _MASK  # noqa: PLW2901  as the algorithm has it
        k = (k ^ k >> _R) * _M & _MASK  # noqa: PLW2901
        h = h * _M & _MASK ^ k
    if rest := key[n_words * 4 :]:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def _hashes(keys: Sequence[bytes]) -> NDArray[Any]:
    """The hashes of keys side by side: word after word for all of them that have one."""
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    n_words = lengths >> 2
    width = (int(n_words.max()) + 1) * 4
    padded = b"".join([key.ljust(width, b"\0") for key in keys])
    words = np.frombuffer(padded, "<u4").reshape(len(keys), width // 4)
    m, r = np.uint32(_M), np.uint32(_R)
    h = np.uint32(_SEED) ^ lengths
    shortest = int(n_words.min())
    for at in range(width // 4 - 1):
        k = words[:, at] * m
        k ^= k >> r
        k *= m
        mixed = h * m ^ k
        h = mixed if at < shortest else np.where(n_words > at, mixed, h)
    # The bytes that make no whole word: the padding of 0 leaves them as they are.
    tail = words[np.arange(len(keys)), n_words]
    h = np.where(lengths & np.uint32(3) != 0, (h ^ tail) * m, h)
    h ^= h >> np.uint32(13)
    h *= m
    h ^= h >> np.uint32(15)
    return h
