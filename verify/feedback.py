"""Which labels meet which predictions: in the partition of the same number, or by id on the ledger topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

from verify.collect import Outcomes
from verify.contract import Contract
from verify.labels import Labels
from verify.performance import PartitionLogs, Tallies
from verify.read import Logs, Record
from verify.rekeyed import Rekeyed
from verify.report import Report
from verify.rows import Positions


class Feedback(Protocol):
    """The judgement of labels, ledger and panes."""

    def check_partition(self, outcomes: Outcomes, *, copies: bool) -> None:
        """Judge the labels of the partition that has *outcomes*; copies: whether a dead letter may stand twice."""

    def finish(self) -> None:
        """Judge what needs all partitions."""


class Keyed:
    """Predictions and labels of one partition number make one ledger."""

    def __init__(self, contract: Contract, logs: Logs, report: Report, tallies: Tallies) -> None:
        self._contract, self._logs, self._report, self._tallies = contract, logs, report, tallies

    def check_partition(self, outcomes: Outcomes, *, copies: bool) -> None:
        """Judge labels, ledger and panes of the partition."""
        partition, topics, logs = outcomes.partition, self._contract.topics, self._logs
        counted_to = self._tallies.positions(partition).labels
        check = Labels(self._contract, self._report, outcomes, copies=copies, counted_to=counted_to)
        topic = topics["labels"]
        labels = check.judge(records_of(logs, topic, partition), start=logs.start(topic, partition))
        ends = Positions(logs.end(topics["predictions"], partition), logs.end(topic, partition))
        self._tallies.check_partition(
            PartitionLogs(partition, outcomes.predictions, labels, outcomes.last_prediction, check.last, ends)
        )

    def finish(self) -> None:
        """Judge the panes that need all partitions."""
        self._tallies.finish()


class ById:
    """Predictions and labels of all partitions go through the ledger topic, each partition of which is one ledger."""

    def __init__(self, contract: Contract, logs: Logs, report: Report, tallies: Tallies) -> None:
        self._contract, self._logs, self._report, self._tallies = contract, logs, report, tallies
        self._topic = contract.topics["ledger"]
        self._partitions = logs.partitions(self._topic)
        self._rekeyed = Rekeyed(contract, report, self._partitions, allow_behind=tallies.allow_behind)
        if tallies.allow_behind:
            for partition in range(self._partitions):
                self._rekeyed.look(records_of(logs, self._topic, partition))

    def check_partition(self, outcomes: Outcomes, *, copies: bool) -> None:
        """Judge the labels of the partition, and note what of it must be on the ledger topic."""
        partition, topics, logs = outcomes.partition, self._contract.topics, self._logs
        topic, behind = topics["labels"], self._tallies.allow_behind
        counted_to = self._rekeyed.reached(topic, partition) if behind else sys.maxsize
        check = Labels(self._contract, self._report, outcomes, copies=copies, counted_to=counted_to)
        start = logs.start(topic, partition)
        labels = check.judge(records_of(logs, topic, partition), start=start)
        self._rekeyed.expect_labels(partition, labels, start=start)
        start = logs.start(topics["predictions"], partition)
        self._rekeyed.expect_predictions(partition, outcomes.predictions, start=start)

    def finish(self) -> None:
        """Judge the ledger topic, and ledger and panes of each of its partitions."""
        for partition in range(self._partitions):
            start, end = self._logs.start(self._topic, partition), self._logs.end(self._topic, partition)
            log = self._rekeyed.take(records_of(self._logs, self._topic, partition), start=start)
            positions = self._tallies.positions(partition)
            if positions.predictions != positions.labels:
                text = f"positions {positions.predictions} and {positions.labels} of one topic differ"
                self._report.check("ledger").violation("unequal_positions", f"ledger/{partition}", text)
            logs = PartitionLogs(partition, log.predictions, log.labels, log.last, log.last, Positions(end, end))
            self._tallies.check_partition(logs)
        self._rekeyed.finish()
        self._tallies.finish()


def records_of(logs: Logs, topic: str, partition: int) -> Iterator[Record]:
    """The records of a partition; none if the topic has no such partition."""
    return logs.records(topic, partition) if partition < logs.partitions(topic) else iter(())
