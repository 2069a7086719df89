"""The records of `performance` against a recount of the ledger and the panes of their partition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from verify.contract import Contract, class_key
from verify.decode import Label
from verify.ledger import STATES, Ledger, recount
from verify.outcomes import Prediction
from verify.panes import PaneKey, class_rates, differences, parse_counters, rates_of, recount_panes
from verify.reading import Course
from verify.report import Check, Report
from verify.rows import Positions, Row, Rows

DAY_S = 86400
RATES = ("coverage", "accuracy", "precision", "recall", "f1", "log_loss", "mae", "rmse")
RATE_TOLERANCE = 1e-9
NOWHERE = Positions(0, 0)


@dataclass
class PartitionLogs:
    """What the tallies of one partition are made of."""

    partition: int
    predictions: Sequence[Prediction]
    labels: Sequence[Label]
    last_prediction: int = -1
    """Offset of the last record of the predictions, well-formed or not; -1 for none."""
    last_label: int = -1
    ends: Positions = NOWHERE
    """End offsets of the two topics."""


@dataclass
class Judgement:
    """What is left to judge when all partitions are counted."""

    missing: list[tuple[int, PaneKey]] = field(default_factory=list)
    event_time_s: float = -math.inf
    """The greatest E of all partitions."""


def retention_s(window_s: int) -> int:
    """How much event time a pane is kept before it may be tombstoned."""
    if window_s < DAY_S // 24:
        return 2 * DAY_S
    return 60 * DAY_S if window_s < DAY_S else 400 * DAY_S


class Tallies:
    """Compares the newest records of `performance` with recounts, partition by partition."""

    def __init__(self, contract: Contract, report: Report, rows: Rows, *, allow_behind: bool) -> None:
        self._contract = contract
        self._report = report
        self._rows, self._waypoints = rows.newest, rows.waypoints
        self.allow_behind = allow_behind
        """Whether less may be counted than there is."""
        self._judgement = Judgement()
        self._expected: set[str] = set()
        self._unclaimed: set[int] = set()
        """Partitions of which no exactness is claimed."""

    def positions(self, partition: int) -> Positions:
        """How far the partition's ledger record says it has counted."""
        row = self._rows.get(f"ledger/{partition}")
        return row.positions if row is not None else Positions(0, 0)

    def check_partition(self, logs: PartitionLogs) -> Ledger:
        """Judge the ledger record and the panes of one partition; returns the recount."""
        positions = self.positions(logs.partition)
        self._check_progress(logs, positions)
        row = self._rows.get(f"ledger/{logs.partition}")
        content = (row.content if row is not None else None) or {}
        ledger = self._recount(logs, positions)
        self._judgement.event_time_s = max(self._judgement.event_time_s, ledger.event_time_s)
        dropped = content.get("pending_dropped", 0)
        if dropped:
            self._unclaimed.add(logs.partition)
            self._report.facts.setdefault("pending_dropped", {})[str(logs.partition)] = dropped
            self._report.notes.append(
                f"partition {logs.partition} has dropped {dropped} pending ids: its ledger and panes claim no exactness"
            )
            return ledger
        self._check_states(logs.partition, ledger, content)
        self._check_panes(logs, ledger, content)
        return ledger

    def finish(self) -> None:
        """Judge what needs all partitions: panes that are missing, and panes that nobody expects."""
        check = self._report.check("panes")
        for partition, key in self._judgement.missing:
            if key.start_s + key.window_s + retention_s(key.window_s) > self._judgement.event_time_s:
                check.violation(
                    "missing_pane", _pane_key(key, partition), "a prediction lies in it, but no record tells"
                )
        for key_text, row in self._rows.items():
            if row.content is not None and key_text not in self._expected and not key_text.startswith("ledger/"):
                self._check_unexpected(check, row)

    def _check_unexpected(self, check: Check, row: Row) -> None:
        parts = row.key.split("/")
        if len(parts) == 5 and parts[1] != "all":  # noqa: PLR2004 - version, slice, window, start, partition
            return
        if len(parts) == 5 and parts[4].isdecimal() and int(parts[4]) in self._unclaimed:  # noqa: PLR2004 - the same
            return
        check.checked += 1
        check.violation("unexpected_pane", row.key, f"{row.where}: no prediction lies in this pane")

    def _check_progress(self, logs: PartitionLogs, positions: Positions) -> None:
        check = self._report.check("ledger")
        key = f"ledger/{logs.partition}"
        last = Positions(logs.last_prediction, logs.last_label)
        for topic, position, offset, end in zip(positions._fields, positions, last, logs.ends, strict=True):
            if position > end:
                check.violation("beyond", key, f"{topic} are counted up to offset {position}, the topic ends at {end}")
            if position > offset:
                continue
            text = f"{topic} are counted up to offset {position}, the topic goes to {offset}"
            if self.allow_behind:
                self._report.notes.append(f"{key} is behind: {text}")
            else:
                check.violation("behind", key, text)

    def _recount(self, logs: PartitionLogs, positions: Positions) -> Ledger:
        """The ledger of what the positions cover."""
        return recount(
            (prediction for prediction in logs.predictions if prediction.offset < positions.predictions),
            (label for label in logs.labels if label.offset < positions.labels),
            self._contract.horizon_s,
            course=Course(self._waypoints.get(f"ledger/{logs.partition}", ())),
        )

    def _check_states(self, partition: int, ledger: Ledger, content: dict[str, Any]) -> None:
        check = self._report.check("ledger")
        key = f"ledger/{partition}"
        check.checked += ledger.labels
        counted = {state: content.get(state, 0) for state in STATES}
        for state, count in counted.items():
            least, most = ledger.least[state], ledger.most[state]
            if not least <= count <= most:
                check.violation("wrong_state", key, f"{state} is {count}, recounted {_range(least, most)}")
        if sum(counted.values()) != ledger.labels:
            text = f"the states hold {sum(counted.values())} labels, recounted {ledger.labels}"
            check.violation("wrong_state", key, text)
        found = content.get("duplicate_prediction", 0)
        if found != ledger.duplicate_prediction:
            text = f"duplicate_prediction is {found}, recounted {ledger.duplicate_prediction}"
            check.violation("wrong_duplicates", key, text)
        event_time_s = content.get("event_time_s")
        if ledger.predicted and (event_time_s is None or abs(event_time_s - ledger.event_time_s) > 1e-6):  # noqa: PLR2004 - a microsecond
            check.violation("wrong_event_time", key, f"E is {event_time_s}, recounted {ledger.event_time_s}")

    def _check_panes(self, logs: PartitionLogs, ledger: Ledger, content: dict[str, Any]) -> None:
        check = self._report.check("panes")
        panes, totals = recount_panes(self._contract, ledger)
        earlier: dict[Positions, dict[PaneKey, Any]] = {}
        n_of_window = dict.fromkeys(self._contract.windows_s, 0)
        incomplete: set[int] = set()
        for key, bounds in panes.items():
            name = _pane_key(key, logs.partition)
            self._expected.add(name)
            check.checked += 1
            row = self._rows.get(name)
            if row is None or row.content is None:
                self._judgement.missing.append((logs.partition, key))
                incomplete.add(key.window_s)
                continue
            self._check_form(check, key, logs.partition, row)
            n = row.content.get("n", 0)
            n_of_window[key.window_s] += n if type(n) is int else 0
            wrong = self._wrong(check, row, row.content, bounds)
            if wrong and self.allow_behind and row.positions != self.positions(logs.partition):
                # A pane and its ledger record are written one after the other: each is right at its own positions.
                if row.positions not in earlier:
                    ledger_then = self._recount(logs, row.positions)
                    earlier[row.positions], _ = recount_panes(self._contract, ledger_then)
                if key in earlier[row.positions]:
                    wrong = self._wrong(check, row, row.content, earlier[row.positions][key])
            for text in wrong:
                check.violation("wrong_counter", name, f"{row.where}: {text}")
            self._check_rates(check, row, row.content)
        for window_s, n in n_of_window.items():
            # A label that came too late must be missing in one pane of each window, and no other may be.
            if not self.allow_behind and window_s not in incomplete and n != content.get("joined", 0):
                text = f"joined is {content.get('joined', 0)}, n of all panes of {window_s} s is {n}"
                check.violation("unequal", f"ledger/{logs.partition}", text)
        self._check_totals(logs.partition, totals, content)

    def _wrong(self, check: Check, row: Row, content: dict[str, Any], bounds: Any) -> list[str]:
        try:
            return differences(parse_counters(content), bounds)
        except (ValueError, AttributeError, TypeError) as error:
            check.violation("malformed", row.key, f"{row.where}: {error}")
            return []

    def _check_form(self, check: Check, key: PaneKey, partition: int, row: Row) -> None:
        expected = {
            "version": key.version,
            "slice": "all",
            "window_s": key.window_s,
            "start_s": key.start_s,
            "end_s": key.start_s + key.window_s,
            "partition": partition,
        }
        for name, value in expected.items():
            found = (row.content or {}).get(name)
            if found != value:
                check.violation("malformed", row.key, f"{row.where}: {name} is {found!r}, its key says {value!r}")

    def _check_rates(self, check: Check, row: Row, content: dict[str, Any]) -> None:
        """The rates in a record are those that follow from its own counters, and all of them are there."""
        try:
            counters = parse_counters(content)
        except (ValueError, AttributeError, TypeError):
            return  # told already
        expected = rates_of(self._contract, counters)
        for name, found, rate in self._rates(expected, content):
            _check_rate(check, row, name, found, rate)
        for value in self._contract.classes if isinstance(content.get("classes"), dict) else ():
            of_class = content["classes"].get(class_key(value), {})
            for name, rate in class_rates(counters, class_key(value)).items():
                if name in of_class:
                    _check_rate(check, row, f"{name} of {value!r}", of_class[name], rate)

    def _rates(self, expected: dict[str, float], content: dict[str, Any]) -> Iterator[tuple[str, Any, float | None]]:
        for name in RATES:
            yield name, content.get(name), expected.get(name)

    def _check_totals(self, partition: int, totals: dict[int, Any], content: dict[str, Any]) -> None:
        """`totals` holds what was ever counted of each version, and as many joined labels as the ledger."""
        check = self._report.check("totals")
        key = f"ledger/{partition}"
        found = content.get("totals", {})
        joined = 0
        for version in sorted({*(str(version) for version in totals), *found}):
            check.checked += 1
            bounds = totals.get(int(version)) if version.lstrip("-").isdecimal() else None
            try:
                counters = parse_counters(found.get(version, {}))
            except (ValueError, AttributeError, TypeError) as error:
                check.violation("malformed", key, f"totals of version {version}: {error}")
                continue
            joined += counters.n
            if bounds is None:
                check.violation("unexpected_version", key, f"totals name version {version}, which predicted nothing")
                continue
            for text in differences(counters, bounds):
                check.violation("wrong_counter", key, f"totals of version {version}: {text}")
        if joined != content.get("joined", 0):
            check.violation("unequal", key, f"joined is {content.get('joined', 0)}, n of all versions {joined}")


def _check_rate(check: Check, row: Row, name: str, found: Any, rate: float | None) -> None:
    if found is None and rate is None:
        return
    if found is None:
        check.violation("missing_rate", row.key, f"{row.where}: {name} is missing, from the counters {rate}")
    elif rate is None:
        check.violation("rate_of_nothing", row.key, f"{row.where}: {name} is {found}, but its denominator is 0")
    elif type(found) not in (int, float) or not math.isclose(found, rate, rel_tol=RATE_TOLERANCE, abs_tol=1e-12):
        check.violation("wrong_rate", row.key, f"{row.where}: {name} is {found}, from the counters {rate}")


def _pane_key(key: PaneKey, partition: int) -> str:
    return f"{key.version}/all/{key.window_s}/{key.start_s}/{partition}"


def _range(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"
