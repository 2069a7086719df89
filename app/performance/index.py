"""The whole pipeline's performance, as every worker answers for it: an index of the `performance` topic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.performance.counters import Counters, merged
from app.performance.published import LABEL_STATES, OTHER_COUNTS, counters_of_json
from app.performance.rates import rates
from app.performance.rows import SLICE
from app.records import Positions

if TYPE_CHECKING:
    from app.features import Contract


class _Published(NamedTuple):
    """Counters of one partition, at its positions."""

    predictions: int
    labels: int
    counters: Counters


class _Ledger(NamedTuple):
    """A partition's ledger record."""

    predictions: int
    labels: int
    event_time_s: float
    counts: dict[str, int]
    totals: dict[int, Counters]


class PerformanceIndex:
    """What the records of a pipeline's `performance` topic add up to; feed it with all of them, in order."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.ignored = 0
        """Records that were none of ours, or no newer than what was known."""
        self._panes: dict[int, dict[tuple[int, int], dict[int, _Published]]] = {
            window_s: {} for window_s in contract.windows_s
        }
        """By window, then (start_s, version), then partition."""
        self._sums: dict[int, dict[tuple[int, int], Counters]] = {window_s: {} for window_s in contract.windows_s}
        """The same over all partitions, made when asked for."""
        self._ledgers: dict[int, _Ledger] = {}

    def feed(self, key: bytes | None, value: bytes | None) -> None:
        """Take one record of the topic; None is a tombstone."""
        try:
            parts = (key or b"").decode().split("/")
            if parts[0] == "ledger":
                taken = self._feed_ledger(int(parts[1]), value)
            else:
                version, slice_, window_s, start_s, partition = parts
                pane = (int(start_s), int(version))
                taken = slice_ == SLICE and self._feed_pane(int(window_s), pane, int(partition), value)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            taken = False
        self.ignored += not taken

    @property
    def event_time_s(self) -> float:
        """E of the furthest partition; -inf before the first prediction."""
        return max((ledger.event_time_s for ledger in self._ledgers.values()), default=-math.inf)

    @property
    def positions(self) -> dict[int, Positions]:
        """By partition: next offsets of predictions and labels, before which all is counted."""
        return {at: Positions(ledger.predictions, ledger.labels) for at, ledger in self._ledgers.items()}

    @property
    def versions(self) -> list[int]:
        """The versions that ever predicted, ascending."""
        return sorted({version for ledger in self._ledgers.values() for version in ledger.totals})

    @property
    def labels(self) -> dict[str, int]:
        """Labels by state, with `duplicate_prediction` and `pending_dropped`, over all partitions."""
        return {
            name: sum(ledger.counts.get(name, 0) for ledger in self._ledgers.values())
            for name in (*LABEL_STATES, *OTHER_COUNTS)
        }

    def total(self, version: int | None = None) -> Counters:
        """Everything ever counted, of *version* or of all."""
        return merged(
            counters
            for ledger in self._ledgers.values()
            for each, counters in ledger.totals.items()
            if version is None or each == version
        )

    def query(
        self,
        *,
        version: int | None = None,
        window_s: int | None = None,
        from_s: float | None = None,
        to_s: float | None = None,
    ) -> dict[str, Any]:
        """The answer of `/api/performance`; ValueError if the contract has no such window.

        from_s, to_s: `panes` are those with start_s in [from_s, to_s), and `total` is then their sum.
        """
        window_s = self._contract.windows_s[0] if window_s is None else window_s
        if window_s not in self._panes:
            known = ", ".join(map(str, self._contract.windows_s))
            raise ValueError(f"no window of {window_s} s; the contract has {known}")
        first, last = -math.inf if from_s is None else from_s, math.inf if to_s is None else to_s
        by_start: dict[int, list[Counters]] = {}
        for start_s, counters in self._between(window_s, version, first, last):
            by_start.setdefault(start_s, []).append(counters)
        panes = {start_s: merged(parts) for start_s, parts in sorted(by_start.items())}
        bounded = from_s is not None or to_s is not None
        answer: dict[str, Any] = {"pipeline": self._contract.name}
        if version is not None:
            answer["version"] = version
        return answer | {
            "window_s": window_s,
            "now": self._shown(self._now(window_s, version)),
            "total": self._shown(merged(panes.values()) if bounded else self.total(version)),
            "panes": [
                {"start_s": start_s, "end_s": start_s + window_s} | self._shown(counters)
                for start_s, counters in panes.items()
            ],
            "labels": self.labels,
        }

    def summary(self) -> dict[str, Any]:
        """In short: E, labels by state, and `total` of each version and `now` in the finest window."""
        window_s = self._contract.windows_s[0]
        found: dict[str, Any] = {
            "labels": self.labels,
            "versions": {
                str(version): {
                    "total": self._shown(self.total(version)),
                    "now": self._shown(self._now(window_s, version)),
                }
                for version in self.versions
            },
        }
        if math.isfinite(self.event_time_s):
            found["event_time_s"] = self.event_time_s
        return found

    def _feed_pane(self, window_s: int, pane: tuple[int, int], partition: int, value: bytes | None) -> bool:
        panes = self._panes[window_s]
        if value is None:
            known = panes.get(pane, {})
            removed = known.pop(partition, None) is not None
            if removed and not known:
                del panes[pane]
        else:
            record = msgspec.json.decode(value)
            new = _Published(*_positions(record), counters_of_json(record, self._contract))
            old = panes.get(pane, {}).get(partition)
            if old is not None and (new.predictions < old.predictions or new.labels < old.labels):
                return False
            panes.setdefault(pane, {})[partition] = new
        self._sums[window_s].pop(pane, None)
        return True

    def _feed_ledger(self, partition: int, value: bytes | None) -> bool:
        if value is None:
            return self._ledgers.pop(partition, None) is not None
        record = msgspec.json.decode(value)
        totals = {int(v): counters_of_json(each, self._contract) for v, each in record.get("totals", {}).items()}
        counts = {name: int(record.get(name, 0)) for name in (*LABEL_STATES, *OTHER_COUNTS)}
        new = _Ledger(*_positions(record), float(record.get("event_time_s", -math.inf)), counts, totals)
        old = self._ledgers.get(partition)
        if old is not None and (new.predictions < old.predictions or new.labels < old.labels):
            return False
        self._ledgers[partition] = new
        return True

    def _between(self, window_s: int, version: int | None, first: float, last: float) -> list[tuple[int, Counters]]:
        """The panes with start_s in [first, last), summed over partitions."""
        sums = self._sums[window_s]
        found = []
        for pane, partitions in self._panes[window_s].items():
            start_s, of_version = pane
            if not first <= start_s < last or (version is not None and of_version != version):
                continue
            if pane not in sums:
                sums[pane] = merged(each.counters for each in partitions.values())
            found.append((start_s, sums[pane]))
        return found

    def _now(self, window_s: int, version: int | None) -> Counters:
        """The finest panes with start_s in (E - window_s, E]."""
        e = self.event_time_s
        if not math.isfinite(e):
            return Counters()
        first, last = math.nextafter(e - window_s, math.inf), math.nextafter(e, math.inf)
        return merged(counters for _, counters in self._between(self._contract.windows_s[0], version, first, last))

    def _shown(self, counters: Counters) -> dict[str, Any]:
        return {"n": counters.n, "predicted": counters.predicted} | rates(counters, self._contract)


def _positions(record: dict[str, Any]) -> tuple[int, int]:
    return int(record["positions"]["predictions"]), int(record["positions"]["labels"])
