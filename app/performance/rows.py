"""Rows of the table that remembers the counts: small immutable values, each with the positions it has consumed.

A row holds `PANES_PER_ROW` neighbouring panes, so that a batch writes a handful of rows.

| key | value |
| --- | --- |
| `<pipeline>/<partition>/<version>/all/<window_s>/<start_s of the block>` | Block |
| `<pipeline>/<partition>/ledger` | LedgerRow |
"""

from __future__ import annotations

import math

import msgspec

from app.performance.counters import Counters

PANES_PER_ROW = 16
SLICE = "all"
_LEDGER = "ledger"


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Neighbouring panes of one version, window and partition."""

    predictions: int
    labels: int
    """Positions: next offsets; the counts hold all before them and nothing after."""
    panes: dict[int, Counters]
    """By the pane's place in the block."""
    before: tuple[int, int] = (0, 0)
    """The positions that it was written over."""
    replaced: dict[int, Counters | None] = {}
    """What the panes were there that the last write changed; None for those it added."""

    def undone(self) -> Block:
        """The block before it was written last."""
        panes = {place: counters for place, counters in (self.panes | self.replaced).items() if counters is not None}
        return Block(*self.before, panes)

    def encode(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)


class LedgerRow(msgspec.Struct, frozen=True, array_like=True):
    """What was counted of one partition altogether."""

    predictions: int = 0
    labels: int = 0
    """Positions, as in a block."""
    event_time_s: float = -math.inf
    labels_seen: int = 0
    """Good labels that were read: each is in one of the states counted below, dropped, or still pending."""
    labels_dropped: int = 0
    counts: dict[str, int] = {}
    """By `Kind`; `predicted` and `pending` apart."""
    totals: dict[int, Counters] = {}
    """By version: everything ever counted, whatever became of its panes."""

    @property
    def pending(self) -> int:
        """Labels that wait for their prediction."""
        judged = sum(self.counts.get(state, 0) for state in JUDGED_STATES)
        return self.labels_seen - self.labels_dropped - judged

    def encode(self) -> bytes:
        """The row's value."""
        return msgspec.msgpack.encode(self)


JUDGED_STATES = ("joined", "expired", "orphan", "duplicate", "conflicting", "too_late")

decode_block = msgspec.msgpack.Decoder(Block).decode
decode_ledger_row = msgspec.msgpack.Decoder(LedgerRow).decode


def block_width_s(window_s: int) -> int:
    """Seconds that a row of panes of *window_s* seconds covers."""
    return window_s * PANES_PER_ROW


def partition_prefix(pipeline: str, partition: int) -> str:
    """What all keys of a partition begin with."""
    return f"{pipeline}/{partition}/"


def ledger_key(prefix: str) -> str:
    """The key of a partition's LedgerRow."""
    return prefix + _LEDGER


def block_key(prefix: str, version: int, window_s: int, block_start_s: int) -> str:
    """The key of a block."""
    return f"{prefix}{version}/{SLICE}/{window_s}/{block_start_s}"


def parse_block_key(prefix: str, key: str) -> tuple[int, int, int] | None:
    """(version, window_s, block_start_s) of a block's key, None for other keys.

    >>> parse_block_key("fraud/3/", block_key("fraud/3/", 2, 60, 960))
    (2, 60, 960)
    """
    parts = key.removeprefix(prefix).split("/")
    if not key.startswith(prefix) or len(parts) != 4 or parts[1] != SLICE:  # noqa: PLR2004 - as in block_key
        return None
    return int(parts[0]), int(parts[2]), int(parts[3])
