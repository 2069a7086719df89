"""A prediction and a label as the ledger sees them: decoded, checked, the id hashed."""

from __future__ import annotations

import hashlib
import math

import msgspec

ENTRY_PREFIX = b"e"
"""Entries of ids, in the ledger's store."""
_BLANK = hashlib.blake2b(digest_size=16)


class SeenPrediction(msgspec.Struct, gc=False, frozen=True):
    """A good record of the predictions topic."""

    offset: int
    key: bytes
    """`entry_key` of its id."""
    coordinates: int
    """64 bits that stand for source topic, partition, offset and row: equal for copies."""
    version: int
    event_at: float
    timestamp: float
    """Of the record, in epoch seconds."""
    y_pred: float
    """A class index, or the predicted number."""
    score: float = math.nan
    """Binary: probability of the positive class; NaN if it was not published."""
    scores: bytes = b""
    """Multiclass: float32 per class in contract order; empty if they were not published."""


class SeenLabel(msgspec.Struct, gc=False, frozen=True):
    """A good record of the labels topic."""

    offset: int
    key: bytes
    """`entry_key` of its id."""
    at: float
    y_true: float
    """A class index, or the true number."""


def copy_key(key: bytes, coordinates: int) -> bytes:
    """The store's key for *coordinates* of a prediction that is not, or no longer, the known one of the id *key*."""
    place = key + coordinates.to_bytes(8, "big")
    return ENTRY_PREFIX + hashlib.blake2b(place, digest_size=16).digest()


def entry_key(id_: str) -> bytes:
    """The store's key for *id_*: a prefix and a 128-bit hash.

    >>> len(entry_key("order-1")), entry_key("order-1") == entry_key("order-2")
    (17, False)
    """
    return entry_key_of(id_.encode())


def entry_key_of(id_: bytes) -> bytes:
    """The same for an id that is UTF-8 already."""
    hashed = _BLANK.copy()  # in half the time that a new one takes
    hashed.update(id_)
    return ENTRY_PREFIX + hashed.digest()
