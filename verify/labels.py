"""The records of the labels topic: each is a good label, or bad and then told by a dead letter."""

from __future__ import annotations

from collections.abc import Iterable

from verify.collect import Outcomes
from verify.contract import Contract
from verify.decode import Fault, Label, decode_label
from verify.outcomes import REASONS, DeadLetter, check_original
from verify.read import Record
from verify.rekeyed import BOUND_BYTES
from verify.report import Report


class Labels:
    """Judges the labels of one partition.

    copies: whether redelivery may double a dead letter.
    counted_to: the next offset by `performance`; a bad label from there on may still wait for its dead letter.
    """

    def __init__(
        self, contract: Contract, report: Report, outcomes: Outcomes, *, copies: bool, counted_to: int
    ) -> None:
        self._contract = contract
        self._check = report.check("labels")
        self._letters_check = report.check("dead_letters")
        self._outcomes = outcomes
        self._copies = copies
        self._counted_to = counted_to
        self.last = -1
        """Offset of the last record; -1 for none."""

    def judge(self, records: Iterable[Record], *, start: int) -> list[Label]:
        """The good labels among all *records* of the partition, which begin at offset *start*."""
        topic = self._contract.topics["labels"]
        labels: list[Label] = []
        unseen = {offset for source, offset, _ in self._outcomes.letters if source == topic and offset >= start}
        for record in records:
            self._check.checked += 1
            self.last = record.offset
            letters = self._outcomes.letters.get((topic, record.offset, None), [])
            if letters:
                unseen.discard(record.offset)
            for letter in letters:
                check_original(self._letters_check, letter, record)
            if len(letters) > 1 and not self._copies:
                self._check.violation("doubled", record.where, f"{len(letters)} dead letters")
            label = self._decode(record, letters)
            if label is not None:
                labels.append(label)
        for offset in sorted(unseen):
            where = f"{topic}[{self._outcomes.partition}]@{offset}"
            self._check.violation("no_source", where, "a dead letter of a record that is not there")
        return labels

    def _decode(self, record: Record, letters: list[DeadLetter]) -> Label | None:
        try:
            label = decode_label(self._contract, record)
        except Fault as fault:
            if not letters and record.offset < self._counted_to:
                self._check.violation("lost", record.where, f"{fault.reason} ({fault}), but no dead letter tells")
            for letter in letters:
                if letter.reason in REASONS and letter.reason != fault.reason:
                    text = f"{letter.reason}, by the contract {fault.reason} ({fault})"
                    self._check.violation("wrong_reason", letter.where, text)
            return None
        if self._contract.is_by_id and label.size > BOUND_BYTES:
            letters = [letter for letter in letters if letter.reason != "oversized"]
        for letter in letters:
            self._check.violation("undeserved", letter.where, f"{letter.reason}, but {record.where} is a good label")
        return label
