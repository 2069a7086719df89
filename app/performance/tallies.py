"""The counts of one partition, added up from contributions into table rows so that none counts twice."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from app.feedback import Kind
from app.performance.counters import Counters, Sum, merged
from app.performance.panes import Retention, pane_start
from app.performance.rows import (
    PANES_PER_ROW,
    Block,
    LedgerRow,
    block_key,
    block_width_s,
    decode_block,
    decode_ledger_row,
    ledger_key,
    parse_block_key,
    partition_prefix,
)
from app.records import Positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from app.features import Contract
    from app.feedback import Contribution

_PREDICTED, _JOINED, _PENDING = Kind.PREDICTED, Kind.JOINED, Kind.PENDING
"""Looking a member up in its enum costs as much as counting it."""


class PaneKey(NamedTuple):
    """A pane of one partition."""

    version: int
    window_s: int
    start_s: int


class Pane(NamedTuple):
    """The counts of a pane, at the positions they have consumed."""

    positions: Positions
    counters: Counters


class Changes(NamedTuple):
    """What is to be published: changed panes, those gone, and the partition's ledger row."""

    panes: dict[PaneKey, Pane]
    gone: list[PaneKey]
    ledger: LedgerRow

    def then(self, later: Changes) -> Changes:
        """Both as one: the later value of each pane."""
        panes = self.panes | later.panes
        for key in later.gone:
            panes.pop(key, None)
        return Changes(panes, self.gone + later.gone, later.ledger)


class Tallies:
    """Counts of one partition of a pipeline, kept in *rows*.

    rows: the table; values are written back whole, the ledger row last. They must become durable in the order in which
    they are written (one changelog partition), before `apply` is called again: so all other rows have what the ledger
    row says it has consumed, and those that a crash left with more are taken back to what they were.
    """

    def __init__(
        self,
        rows: MutableMapping[str, bytes],
        contract: Contract,
        partition: int,
        *,
        retention: Retention | None = None,
    ) -> None:
        self.partition = partition
        self._rows = rows
        self._contract = contract
        self._windows_s = contract.windows_s
        self._regression = contract.task == "regression"
        self._retention = retention or Retention()
        self._prefix = partition_prefix(contract.name, partition)
        value = rows.get(ledger_key(self._prefix))
        self.ledger = LedgerRow() if value is None else decode_ledger_row(value)
        self._counted = Positions(self.ledger.predictions, self.ledger.labels)
        self._ends: list[tuple[float, PaneKey]] = []
        """A heap of blocks by the event time from which on they are kept no longer."""
        self._torn: dict[PaneKey, Block] = {}
        """Blocks that were written when the ledger row was not any more, as they were before."""
        for key in list(rows.keys()):
            self._open_row(key)
        heapq.heapify(self._ends)

    def waypoints(self) -> list[Positions]:
        """The positions that the rows stand at: what a ledger opened on top of them has to pass through."""
        return [self._counted]

    def apply(self, contributions: Sequence[Contribution], positions: Positions, *, event_time_s: float) -> Changes:
        """Count what the rows do not hold yet, and drop the rows that are too old.

        positions, event_time_s: those of the ledger that made the contributions, after it made them.
        """
        # Rows at (p, l) hold a contribution iff its prediction's offset is before p and its label's before l.
        predictions, labels = self._counted.predictions, self._counted.labels
        new = [c for c in contributions if c.prediction_offset >= predictions or c.label_offset >= labels]
        self._mend()
        finest = {key: each.counters() for key, each in self._finest(new).items()}
        ledger = self._next_ledger(new, finest, positions, event_time_s)
        panes = self._write_blocks(finest, positions, event_time_s)
        gone = self._drop_old(event_time_s)
        self._rows[ledger_key(self._prefix)] = ledger.encode()
        self.ledger = ledger
        self._counted = Positions(ledger.predictions, ledger.labels)
        return Changes(panes, gone, ledger)

    def everything(self) -> Changes:
        """All that the rows hold: to be published when the partition is taken over, for the last one may not have."""
        panes: dict[PaneKey, Pane] = {}
        for _, block in self._ends:
            panes |= self._panes_of(block)
        return Changes(panes, [], self.ledger)

    def _open_row(self, key: str) -> None:
        parsed = parse_block_key(self._prefix, key)
        if parsed is None:
            return
        block_at, block = PaneKey(*parsed), decode_block(self._rows[key])
        if block.predictions > self._counted.predictions or block.labels > self._counted.labels:
            self._torn[block_at] = block.undone()
        self._ends.append((self._end(block_at.window_s, block_at.start_s), block_at))

    def _end(self, window_s: int, block_start_s: int) -> float:
        """The event time from which on a block is kept no longer."""
        return block_start_s + block_width_s(window_s) + self._retention.keep_s(window_s)

    def _finest(self, new: Iterable[Contribution]) -> dict[PaneKey, Sum]:
        """What *new* adds to each pane of the finest window."""
        width_s, regression = self._windows_s[0], self._regression
        sums: dict[tuple[int, float], Sum] = {}
        for c in new:
            kind = c.kind
            if kind is not _PREDICTED and kind is not _JOINED:
                continue
            at = c.version, c.event_at // width_s
            each = sums.get(at)
            if each is None:
                each = sums[at] = Sum()
            if kind is _PREDICTED:
                each.predicted()
            else:
                each.joined(c, regression=regression)
        return {PaneKey(version, width_s, int(place) * width_s): each for (version, place), each in sums.items()}

    def _mend(self) -> None:
        """Write back the blocks that a crash left ahead of the ledger row."""
        for block_at, block in self._torn.items():
            self._rows[self._key(block_at)] = block.encode()
        self._torn.clear()

    def _rolled_up(self, finest: dict[PaneKey, Counters]) -> dict[PaneKey, dict[PaneKey, list[Counters]]]:
        """By block, then pane, of every window: the parts to be added, made of those of the finest window."""
        parts: dict[PaneKey, dict[PaneKey, list[Counters]]] = {}
        for key, counters in finest.items():
            for window_s in self._windows_s:
                pane = PaneKey(key.version, window_s, pane_start(key.start_s, window_s))
                parts.setdefault(_block_of(pane), {}).setdefault(pane, []).append(counters)
        return parts

    def _write_blocks(
        self, finest: dict[PaneKey, Counters], positions: Positions, event_time_s: float
    ) -> dict[PaneKey, Pane]:
        changed: dict[PaneKey, Pane] = {}
        for block_at, panes in self._rolled_up(finest).items():
            end = self._end(block_at.window_s, block_at.start_s)
            if end <= event_time_s:
                continue  # too old to be kept; the totals have it
            old = self._read(block_at)
            if old is None:
                heapq.heappush(self._ends, (end, block_at))
                old = Block(0, 0, {})
            counters = dict(old.panes)
            replaced: dict[int, Counters | None] = {}
            for key, each in panes.items():
                place = (key.start_s - block_at.start_s) // key.window_s
                known = replaced[place] = counters.get(place)
                counters[place] = merged(each if known is None else [known, *each])
                changed[key] = Pane(positions, counters[place])
            new = Block(positions.predictions, positions.labels, counters, (old.predictions, old.labels), replaced)
            self._rows[self._key(block_at)] = new.encode()
        return changed

    def _drop_old(self, event_time_s: float) -> list[PaneKey]:
        gone: list[PaneKey] = []
        while self._ends and self._ends[0][0] <= event_time_s:
            _, block = heapq.heappop(self._ends)
            gone += self._panes_of(block)
            del self._rows[self._key(block)]
        return gone

    def _next_ledger(
        self,
        new: Iterable[Contribution],
        finest: Mapping[PaneKey, Counters],
        positions: Positions,
        event_time_s: float,
    ) -> LedgerRow:
        row = self.ledger
        seen, dropped = row.labels_seen, row.labels_dropped
        counts = dict(row.counts)
        for c in new:
            kind = c.kind
            if kind is _PREDICTED:
                continue
            if c.read and c.label_offset >= row.labels:
                seen += 1
            if kind is not _PENDING:
                counts[kind.value] = counts.get(kind.value, 0) + c.n
                dropped += c.n_labels
        added: dict[int, list[Counters]] = {}
        for key, each in finest.items():
            added.setdefault(key.version, []).append(each)
        totals = dict(row.totals)
        for version, parts in added.items():
            totals[version] = merged([totals.get(version, Counters()), *parts])
        at = Positions(
            max(positions.predictions, self._counted.predictions), max(positions.labels, self._counted.labels)
        )
        return LedgerRow(at.predictions, at.labels, max(row.event_time_s, event_time_s), seen, dropped, counts, totals)

    def _read(self, block_at: PaneKey) -> Block | None:
        if block_at in self._torn:
            return self._torn[block_at]
        value = self._rows.get(self._key(block_at))
        return None if value is None else decode_block(value)

    def _panes_of(self, block_at: PaneKey) -> dict[PaneKey, Pane]:
        block = self._read(block_at)
        if block is None:
            return {}
        at = Positions(block.predictions, block.labels)
        return {
            block_at._replace(start_s=block_at.start_s + place * block_at.window_s): Pane(at, counters)
            for place, counters in block.panes.items()
        }

    def _key(self, block_at: PaneKey) -> str:
        return block_key(self._prefix, *block_at)


def _block_of(key: PaneKey) -> PaneKey:
    """The block of a pane, with the start of the block."""
    return key._replace(start_s=pane_start(key.start_s, key.window_s * PANES_PER_ROW))
