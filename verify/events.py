"""Every event against what became of it: one outcome, the right version, the right scores.

An event is a feature record or, where records have rows, a row of one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from verify.arrow import Row, check_row_alone, decode_rows
from verify.collect import Outcomes, Place
from verify.contract import Contract, same
from verify.decode import Event, Fault, decode_event
from verify.outcomes import DeadLetter, Prediction, check_original, check_reason
from verify.read import Record
from verify.report import Report
from verify.rescore import Models, Outcome, close, decided, near_decision
from verify.timeline import Activation, Manifest, ever_in_force, in_force

BATCH = 2000
FUTURE_S = 60.0
SAME_TIME_S = 1e-6


class Serving(NamedTuple):
    """Which version had to score, and with what."""

    valid: list[Activation]
    manifests: dict[int, Manifest]
    models: Models


class Rules(NamedTuple):
    """What a run demands beyond the contracts."""

    copies: bool = True
    """Whether redelivery may double an outcome of a feature record."""
    committed_only: bool = False
    """Whether only records below the group's committed offset must have an outcome."""
    label_copies: bool = True
    """Whether redelivery may double the dead letter of a label."""


class Events:
    """Checks the feature records of a partition one by one, in batches for the re-scoring."""

    def __init__(self, contract: Contract, report: Report, serving: Serving, rules: Rules) -> None:
        self._contract = contract
        self._report = report
        self._serving = serving
        self._rules = rules
        self._topic = contract.topics["predictions"]
        report.facts |= {"copies": 0, "last_outcomes": {}}

    def check_partition(self, outcomes: Outcomes, features: Iterable[Record], *, start: int, committed: int) -> None:
        """Judge all *features*, which begin at offset *start*, and what has no source among them."""
        topic = self._contract.topics["features"]
        places = {(offset, row) for source, offset, row in outcomes.letters if source == topic}
        if (last := max((offset for offset, _ in chain(outcomes.of_event, places)), default=None)) is not None:
            self._report.facts["last_outcomes"][outcomes.partition] = last
        left = dict(outcomes.of_event)
        lettered: set[Place] = set()
        judged = having_one = 0
        for batch in _batches(self._events(features)):
            for record, row in batch:
                place = record.offset, row.number
                predictions = left.pop(place, [])
                letters = outcomes.letters.get((record.topic, *place), [])
                lettered.add(place) if letters else None
                must = not self._rules.committed_only or record.offset < committed
                self._check_outcome(_text(record, row), predictions, letters, outcomes.malformed.get(place), must=must)
                judged += 1 if must else 0
                having_one += 1 if must and (predictions or letters or place in outcomes.malformed) else 0
            self._check_batch(outcomes, batch)
        self._check_sourceless(outcomes, left, places - lettered, start)
        sums = self._report.check("sums")
        sums.checked += judged
        if judged != having_one:
            sums.violation(
                "unequal",
                f"{self._contract.topics['features']}[{outcomes.partition}]",
                f"{judged} events, {having_one} distinct outcomes",
            )

    def _events(self, features: Iterable[Record]) -> Iterator[tuple[Record, Row]]:
        """Each event: a record in JSON, or a row of a record in Arrow (all of it, if it cannot be read)."""
        for record in features:
            if self._contract.encoding == "arrow":
                for row in decode_rows(self._contract, record):
                    yield record, row
            else:
                yield record, Row(None, self._decode(record), None)

    def _decode(self, record: Record) -> Event | Fault:
        try:
            return decode_event(self._contract, record)
        except Fault as fault:
            return fault

    def _where(self, prediction: Prediction) -> str:
        return f"{self._topic}[{prediction.partition}]@{prediction.offset}"

    def _check_outcome(
        self,
        where: str,
        predictions: list[Prediction],
        letters: list[DeadLetter],
        malformed: str | None,
        *,
        must: bool,
    ) -> None:
        check = self._report.check("outcomes")
        check.checked += 1
        if not predictions and not letters and malformed is None:
            if must:
                check.violation("lost", where, "neither a prediction nor a dead letter")
            return
        if predictions and letters:
            check.violation("both", where, f"{self._where(predictions[0])} and {letters[0].where}")
        copies = len(predictions) + len(letters) - 1
        if copies > 0:
            self._report.facts["copies"] += copies
        if copies > 0 and not self._rules.copies and not (predictions and letters):
            check.violation("doubled", where, f"{copies + 1} outcomes")
        for copy in predictions[1:]:
            self._check_copy(predictions[0], copy)
        for letter in letters[1:]:
            if letter.reason != letters[0].reason or letter.sha256 != letters[0].sha256:
                check.violation("copy_differs", letter.where, f"another reason or value than {letters[0].where}")

    def _check_copy(self, first: Prediction, copy: Prediction) -> None:
        check = self._report.check("outcomes")
        wrong = [name for name in ("id", "key", "model", "event_at") if getattr(copy, name) != getattr(first, name)]
        versions_equal = copy.version == first.version or self._is_future(first) or self._is_future(copy)
        if not versions_equal:
            wrong.append("version")
        if wrong:
            check.violation("copy_differs", self._where(copy), f"{wrong} differ from {self._where(first)}")
        if copy.version != first.version:
            return
        if not _scores_close(self._contract, first, copy):
            check.violation("copy_differs", self._where(copy), f"scores differ from {self._where(first)}")
        elif (
            self._contract.task != "regression"
            and not same(first.prediction, copy.prediction)
            and not near_decision(self._contract, first.score, first.scores)
        ):
            check.violation("copy_differs", self._where(copy), f"the class differs from {self._where(first)}")

    def _is_future(self, prediction: Prediction) -> bool:
        """Whether the record was so far ahead of the worker's clock that it did not wait for activations."""
        return prediction.scored_at is not None and prediction.timestamp_ms / 1000 > prediction.scored_at + FUTURE_S

    def _check_batch(self, outcomes: Outcomes, events: list[tuple[Record, Row]]) -> None:
        to_score: dict[int, list[tuple[Event, Prediction]]] = defaultdict(list)
        for record, row in events:
            event = row.event
            for prediction in outcomes.of_event.get((record.offset, row.number), ()):
                self._check_version(record, prediction)
                self._check_identity(record, event, prediction)
                if isinstance(event, Fault):
                    text = f"{_text(record, row)} is {event.reason} ({event}) and belongs to the dead letters"
                    self._report.check("scores").violation("bad_event", self._where(prediction), text)
                else:
                    to_score[prediction.version].append((event, prediction))
            for letter in outcomes.letters.get((record.topic, record.offset, row.number), ()):
                self._check_letter(record, row, letter)
        for version, pairs in to_score.items():
            self._check_scores(version, pairs)

    def _check_identity(self, record: Record, event: Event | Fault, prediction: Prediction) -> None:
        check = self._report.check("predictions")
        where = self._where(prediction)
        if prediction.key != record.key:
            check.violation("wrong_key", where, f"{prediction.key!r}, its event's is {record.key!r}")
        if prediction.create_time and prediction.timestamp_ms != record.timestamp_ms:
            check.violation(
                "wrong_timestamp", where, f"{prediction.timestamp_ms}, its event's is {record.timestamp_ms}"
            )
        if prediction.model != self._contract.name:
            check.violation("wrong_model", where, f"model {prediction.model!r}")
        if isinstance(event, Event):
            if prediction.id != event.id:
                check.violation("wrong_id", where, f"{prediction.id!r}, by the contract {event.id!r}")
            if abs(prediction.event_at - event.event_at_s) > SAME_TIME_S:
                check.violation("wrong_event_at", where, f"{prediction.event_at}, by the contract {event.event_at_s}")
        if self._contract.task != "regression":
            expected = decided(self._contract, prediction.score, prediction.scores)
            if not same(prediction.prediction, expected):
                check.violation("class_not_of_score", where, f"{prediction.prediction!r}, its scores say {expected!r}")

    def _check_version(self, record: Record, prediction: Prediction) -> None:
        check = self._report.check("versions")
        check.checked += 1
        where = self._where(prediction)
        at_s = record.timestamp_ms / 1000
        expected = in_force(self._serving.valid, at_s)
        allowed = {expected} | (ever_in_force(self._serving.valid, at_s) if self._is_future(prediction) else set())
        if prediction.version not in allowed:
            check.violation("wrong_version", where, f"version {prediction.version}, in force at {at_s} is {expected}")
        manifest = self._serving.manifests.get(prediction.version)
        if manifest is None:
            check.violation("unknown_version", where, f"version {prediction.version} has no manifest")
        elif prediction.sha256 != manifest.sha256:
            check.violation(
                "foreign_sha256", where, f"{prediction.sha256}, of version {manifest.version} {manifest.sha256}"
            )

    def _check_scores(self, version: int, pairs: list[tuple[Event, Prediction]]) -> None:
        check = self._report.check("scores")
        check.checked += len(pairs)
        try:
            rescored = self._serving.models[version].score([event for event, _ in pairs])
        except (KeyError, ValueError) as error:
            for _, prediction in pairs:
                check.violation("no_model", self._where(prediction), f"version {version} cannot be re-scored: {error}")
            return
        for (_, prediction), outcome in zip(pairs, rescored, strict=True):
            self._check_score(prediction, outcome)

    def _check_score(self, prediction: Prediction, outcome: Outcome) -> None:
        check = self._report.check("scores")
        where = self._where(prediction)
        if outcome.failed:
            check.violation("not_finite", where, f"re-scored {outcome}: belongs to the dead letters")
        elif self._contract.task == "regression":
            assert outcome.number is not None  # noqa: S101 - for the type checker: not failed
            if not close(float(prediction.prediction), outcome.number):
                check.violation("wrong_score", where, f"{prediction.prediction}, re-scored {outcome.number}")
        else:
            published = prediction.scores if prediction.scores is not None else (prediction.score or 0.0,)
            expected = outcome.scores if outcome.scores is not None else (outcome.score or 0.0,)
            if not all(close(one, other) for one, other in zip(published, expected, strict=True)):
                check.violation("wrong_score", where, f"{published}, re-scored {expected}")
            winner = decided(self._contract, outcome.score, outcome.scores)
            near = near_decision(self._contract, outcome.score, outcome.scores)
            if not near and not same(prediction.prediction, winner):
                check.violation("wrong_class", where, f"{prediction.prediction!r}, re-scored {winner!r}")

    def _check_letter(self, record: Record, row: Row, letter: DeadLetter) -> None:
        check, event = self._report.check("dead_letters"), row.event
        if row.number is None:
            check_original(check, letter, record)
        else:
            check_reason(check, letter)
            check_row_alone(check, letter, record, row)
        if isinstance(event, Fault):
            if letter.reason != event.reason:
                check.violation(
                    "wrong_reason", letter.where, f"{letter.reason}, by the contract {event.reason} ({event})"
                )
        elif letter.reason != "scoring_failed":
            check.violation(
                "undeserved", letter.where, f"{letter.reason}, but {_text(record, row)} is good by the contract"
            )
        else:
            version = in_force(self._serving.valid, record.timestamp_ms / 1000)
            try:
                outcome = self._serving.models[version if version is not None else 0].score([event])[0]
            except (KeyError, ValueError) as error:
                check.violation("no_model", letter.where, f"version {version} cannot be re-scored: {error}")
                return
            if not outcome.failed:
                check.violation("undeserved", letter.where, f"scoring_failed, but version {version} gives {outcome}")

    def _check_sourceless(
        self, outcomes: Outcomes, left: dict[Place, list[Prediction]], unlettered: set[Place], start: int
    ) -> None:
        """What belongs to an event that never was; to one that retention has deleted it may belong."""
        check = self._report.check("outcomes")
        for (offset, row), predictions in left.items():
            for prediction in predictions if offset >= start else ():
                check.violation("no_source", self._where(prediction), f"there is no event at {_place(offset, row)}")
        for offset, row in unlettered:
            for letter in outcomes.letters[self._contract.topics["features"], offset, row] if offset >= start else ():
                check.violation("no_source", letter.where, f"there is no event at {_place(offset, row)}")
        gone = sum(offset < start for offset, _ in left)
        if gone:
            self._report.notes.append(
                f"partition {outcomes.partition}: {gone} predictions are of records that retention has deleted"
            )


def _text(record: Record, row: Row) -> str:
    """Where an event stands."""
    return record.where if row.number is None else f"{record.where}, row {row.number}"


def _place(offset: int, row: int | None) -> str:
    return f"its source offset {offset}" if row is None else f"row {row} of its source offset {offset}"


def _batches(events: Iterable[tuple[Record, Row]]) -> Iterator[list[tuple[Record, Row]]]:
    iterator = iter(events)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _scores_close(contract: Contract, first: Prediction, copy: Prediction) -> bool:
    if contract.task == "regression":
        return close(float(first.prediction), float(copy.prediction))
    one, other = first.scores or (first.score or 0.0,), copy.scores or (copy.score or 0.0,)
    return all(math.isfinite(value) for value in one) and all(close(a, b) for a, b in zip(one, other, strict=True))
