"""Which partition a key belongs to: the placement of Kafka's Java client, which events and their labels share."""

from __future__ import annotations

import struct

_SEED = 0x9747B28C
_M = 0x5BD1E995
_32_BITS = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32 bits of MurmurHash2 as Kafka's Java client computes them (org.apache.kafka.common.utils.Utils.murmur2).

    >>> hex(murmur2(b"user-1"))
    '0x53b136cc'
    """
    whole = len(data) & ~3
    h = _SEED ^ len(data)
    for k in struct.unpack_from(f"<{whole >> 2}I", data):
        k = k * _M & _32_BITS  # noqa: PLW2901  it is mixed as it is read
        h = (h * _M ^ (k ^ k >> 24) * _M) & _32_BITS
    if whole != len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _32_BITS
    h = (h ^ h >> 13) * _M & _32_BITS
    return h ^ h >> 15


def partition_of(key: bytes, n_partitions: int) -> int:
    """The partition, of *n_partitions*, to which Java's default partitioner sends *key*.

    >>> partition_of(b"user-1", 4)
    0
    """
    return (murmur2(key) & 0x7FFFFFFF) % n_partitions
