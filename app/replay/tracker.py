"""What became of a replay's records, told by what the workers publish, record by record and without a clock.

features  (p, o) --> prediction or dead letter that names (p, o)            an outcome for each event
labels    (p, o) --> keyed: the ledger of p has read beyond it              judged
                     by-id: a record of the ledger topic that names it, and its ledger has read beyond that
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from app.errors import InvalidRecord
from app.feedback import Contribution, Kind
from app.feedback.decode import MAX_RECORD_BYTES, prediction_fields, prediction_judge
from app.feedback.rules import Rules
from app.performance import Counters, PerformanceIndex
from app.performance.counters import Sum
from app.replay.sent import SentRecords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.features import Contract
    from app.records import Record

OPEN_MAX = 200_000
"""Events without an outcome that are remembered; where the workers are further behind, nothing is counted any more."""
NO_LABEL = math.nan


class Tracker:
    """Follows one replay; feed it with what was acknowledged, and with every record of the topics that tell of it."""

    def __init__(
        self, contract: Contract, *, features: Mapping[int, int], labels: Mapping[int, int], label_delay_s: float
    ) -> None:
        """features, labels: the ends of those topics' partitions before anything is sent."""
        self._contract = contract
        self._topics = contract.topics
        self._rules = Rules(contract)
        self._judge = prediction_judge(contract)
        self._is_regression = contract.task == "regression"
        self._in_time = label_delay_s <= contract.label_horizon_s
        self.events, self.labels = SentRecords(features), SentRecords(labels)
        self.index = PerformanceIndex(contract)
        """Of the records that tell of whole partitions; panes are left out."""
        self._open: dict[int, dict[int, float]] = {partition: {} for partition in features}
        """By partition and offset, of events without an outcome: the class index or number of their label."""
        self._early: list[Record] = []
        """Records that name coordinates which were not acknowledged yet."""
        self._sums: dict[int, Sum] = defaultdict(Sum)
        self._prediction_ends: dict[int, int] = dict.fromkeys(features, 0)
        self._ledger_ends: dict[int, int] = {}
        self._rekeyed = 0
        self._keyed_predictions = 0
        self._totals_before: dict[int, Counters] = {}
        self._labels_before: dict[str, int] = {}
        self.predicted = 0
        """Events with a prediction; copies count once."""
        self.dead_events: Counter[str] = Counter()
        self.dead_labels: Counter[str] = Counter()
        self.has_given_up = False
        """Whether the workers were too far behind to be followed in the memory there is."""
        self.has_strangers = False
        """Whether outcomes of events were seen that are not the replay's."""

    def begin(self) -> None:
        """Take what `performance` has told until now for what was there before."""
        self._totals_before = {version: self.index.total(version) for version in self.index.versions}
        self._labels_before = self.index.labels

    def sent_events(self, partition: int, first: int, truths: Sequence[float]) -> None:
        """Events were acknowledged; truths: the class index or number of each label, NaN for none."""
        self.events.add(partition, first, len(truths))
        if not self.has_given_up:
            self._open[partition].update(zip(range(first, first + len(truths)), truths, strict=True))
            if self.n_open > OPEN_MAX:
                self.has_given_up = True
                for waiting in self._open.values():
                    waiting.clear()
        self._again()

    def sent_labels(self, partition: int, first: int, n: int) -> None:
        """Labels were acknowledged."""
        self.labels.add(partition, first, n)
        self._again()

    def all_sent(self) -> None:
        """Nothing more is sent, and all that was is acknowledged."""
        self.events.is_complete = self.labels.is_complete = True
        self._again()

    @property
    def n_open(self) -> int:
        """Events that have no outcome yet."""
        return self.events.n - self.predicted - self.dead_events.total()

    @property
    def joined(self) -> int:
        """Labels that the workers have joined since the replay began, whosever they are."""
        return self._states_now("joined")

    def take(self, record: Record) -> None:
        """A record of the predictions, dead letters, ledger or performance topic."""
        if record.topic == self._topics.performance:
            if (record.key or b"").startswith(b"ledger/"):
                self.index.feed(record.key, record.value)
        elif not self._place(record):
            self._early.append(record)

    def truth_of(self, label: Any) -> float:
        """The class index or number of a row's *label*; NaN if it is none of the contract's."""
        try:
            if self._is_regression:
                return self._contract.label_number(label)
            return float(self._contract.label_class(label))
        except InvalidRecord:
            return NO_LABEL

    @property
    def has_all_outcomes(self) -> bool:
        """Whether each event is predicted or a dead letter."""
        return self.n_open == 0

    @property
    def has_judged_all(self) -> bool:
        """Whether the ledgers have read all predictions and labels of the replay."""
        positions = self.index.positions
        if self._contract.is_by_id:
            if self._keyed_predictions < self.predicted or self._rekeyed < self.labels.n - self.dead_labels.total():
                return False
            ends = [(partition, end, end) for partition, end in self._ledger_ends.items()]
        else:
            ends = [(p, end, self.labels.end(p)) for p, end in self._prediction_ends.items()]
        return all(
            (end := positions.get(partition)) is not None and end.predictions >= predictions and end.labels >= labels
            for partition, predictions, labels in ends
            if predictions or labels
        )

    def states(self) -> dict[str, int]:
        """What `performance` says that labels have become since the replay began, whosever they are."""
        return {state: self._states_now(state) for state in self.index.labels}

    def counted(self) -> dict[int, Counters]:
        """By version: the replay's predictions, and the labels that are joined by the contract's rules."""
        return {version: each.counters() for version, each in sorted(self._sums.items())}

    def told(self) -> dict[int, Counters]:
        """By version: by how much the workers' own counts have grown since the replay began."""
        none = Counters()
        return {
            version: self.index.total(version) - self._totals_before.get(version, none)
            for version in self.index.versions
        }

    @property
    def is_alone(self) -> bool:
        """Whether nobody else has sent events or labels meanwhile, as far as can be seen."""
        return self.events.is_alone and self.labels.is_alone and not self.has_strangers

    def _states_now(self, state: str) -> int:
        return self.index.labels[state] - self._labels_before.get(state, 0)

    def _again(self) -> None:
        """Look once more at what came too early."""
        if self._early:
            self._early = [record for record in self._early if not self._place(record)]

    def _place(self, record: Record) -> bool:
        """Take *record* if it is known whose it is; False if that is not known yet."""
        headers = dict(record.headers)
        try:
            topic = headers["source-topic"].decode()
            partition, offset = int(headers["source-partition"]), int(headers["source-offset"])
        except (KeyError, ValueError, AttributeError):
            return True  # somebody else's
        if topic == self._topics.features:
            return self._place_outcome(record, headers, partition, offset)
        if record.topic == self._topics.ledger:
            return self._place_keyed(record, headers, topic, partition, offset)
        if topic == self._topics.labels and record.topic == self._topics.dead_letters:
            is_ours = self.labels.has(partition, offset)
            if is_ours:
                self.dead_labels[headers.get("reason", b"unknown").decode()] += 1
            return is_ours is not None
        return True

    def _place_outcome(self, record: Record, headers: dict[str, bytes], partition: int, offset: int) -> bool:
        is_ours = self.events.has(partition, offset)
        if not is_ours:
            self.has_strangers |= is_ours is False
            return is_ours is not None
        if self.has_given_up:
            return True
        truth = self._open[partition].pop(offset, None)
        if record.topic == self._topics.predictions:
            self._prediction_ends[record.partition] = max(self._prediction_ends[record.partition], record.offset + 1)
        if truth is None:
            return True  # a copy
        if record.topic == self._topics.dead_letters:
            self.dead_events[headers.get("reason", b"unknown").decode()] += 1
        else:
            self._count(record, truth)
        return True

    def _place_keyed(self, record: Record, headers: dict[str, bytes], topic: str, partition: int, offset: int) -> bool:
        if topic == self._topics.labels:
            is_ours = self.labels.has(partition, offset)
            self._rekeyed += bool(is_ours)
        else:
            try:
                is_ours = self.events.has(int(headers["event-partition"]), int(headers["event-offset"]))
            except (KeyError, ValueError):
                return True  # a prediction of another program
            self._keyed_predictions += bool(is_ours)
        if is_ours:
            self._ledger_ends[record.partition] = max(self._ledger_ends.get(record.partition, 0), record.offset + 1)
        return is_ours is not None

    def _count(self, record: Record, truth: float) -> None:
        _, fields = prediction_fields(record, MAX_RECORD_BYTES)
        y_pred, score, scores = self._judge(fields)
        self.predicted += 1
        each = self._sums[fields.version]
        each.predicted()
        if self._in_time and not math.isnan(truth):
            p_true = self._rules.p_true(truth, score, scores)
            joined = Contribution(Kind.JOINED, -1, -1, y_true=truth, y_pred=y_pred, p_true=p_true)
            each.joined(joined, regression=self._is_regression)
