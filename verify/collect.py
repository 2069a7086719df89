"""All outcomes that stand in one partition, by the record that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from verify.contract import Contract
from verify.outcomes import SOURCE_HEADERS, DeadLetter, Prediction, check_original, parse_dead_letter, parse_prediction
from verify.read import Record
from verify.rekeyed import BOUND_BYTES
from verify.report import Report

Place = tuple[int, int | None]
"""Of an event in its partition: the offset of its record and, where that has rows, which of them it is."""


@dataclass
class Outcomes:
    """What stands on the predictions and dead letters of one partition."""

    partition: int
    predictions: list[Prediction] = field(default_factory=list)
    """The well-formed ones in order, those of foreign programs included."""
    of_event: dict[Place, list[Prediction]] = field(default_factory=dict)
    """By the place of their event on the features topic."""
    malformed: dict[Place, str] = field(default_factory=dict)
    """Place of the event -> where its malformed prediction stands."""
    letters: dict[tuple[str, int, int | None], list[DeadLetter]] = field(default_factory=dict)
    """By source topic, offset and row."""
    foreign: int = 0
    unusable: dict[int, Record] = field(default_factory=dict)
    """Records on the predictions topic that are none, by their own offset: they may have dead letters."""
    oversized: set[int] = field(default_factory=set)
    """Good predictions, by their own offset, that may be too large for the ledger topic and then are dead letters."""
    last_prediction: int = -1


def read_outcomes(
    contract: Contract, report: Report, partition: int, predictions: Iterable[Record], letters: Iterable[Record]
) -> Outcomes:
    """The outcomes that stand in *partition*; what is malformed or misplaced is reported."""
    outcomes = Outcomes(partition)
    for record in predictions:
        outcomes.last_prediction = record.offset
        _take_prediction(contract, report, outcomes, record)
    if outcomes.unusable:
        report.notes.append(
            f"partition {partition}: {len(outcomes.unusable)} records on the predictions topic are none"
        )
    check = report.check("dead_letters")
    sources = [
        contract.topics[name] for name in ("features", "labels", "predictions", "ledger") if name in contract.topics
    ]
    for record in letters:
        check.checked += 1
        try:
            letter = parse_dead_letter(record)
        except ValueError as error:
            check.violation("malformed", record.where, str(error))
            continue
        if letter.source.topic not in sources:
            check.violation("no_source", record.where, f"source topic {letter.source.topic!r} is none of the pipeline")
        elif letter.source.partition != partition:
            check.violation("wrong_partition", record.where, f"its source is in partition {letter.source.partition}")
        elif letter.source.topic == contract.topics["predictions"]:
            if letter.source.offset in outcomes.oversized and letter.reason == "oversized":
                continue
            if letter.source.offset not in outcomes.unusable:
                check.violation("undeserved", record.where, f"{letter.source} is a good prediction, or none at all")
            else:
                check_original(check, letter, outcomes.unusable[letter.source.offset])
        else:
            source = letter.source
            outcomes.letters.setdefault((source.topic, source.offset, source.row), []).append(letter)
    return outcomes


def _take_prediction(contract: Contract, report: Report, outcomes: Outcomes, record: Record) -> None:
    check = report.check("predictions")
    check.checked += 1
    try:
        prediction = parse_prediction(contract, record)
    except ValueError as error:
        outcomes.unusable[record.offset] = record
        headers = dict(record.headers)
        if not any(name in headers for name in SOURCE_HEADERS):
            return  # another program's record is not ours to answer for
        check.violation("malformed", record.where, str(error))
        offset, row = headers.get("source-offset", b""), headers.get("source-row", b"")
        if offset.isdigit():
            outcomes.malformed[int(offset), int(row) if row.isdigit() else None] = record.where
        return
    outcomes.predictions.append(prediction)
    if contract.is_by_id and prediction.size > BOUND_BYTES:
        outcomes.oversized.add(record.offset)
    if prediction.source is None:
        outcomes.foreign += 1
    elif prediction.source.topic != contract.topics["features"]:
        check.violation(
            "no_source", record.where, f"source topic {prediction.source.topic!r} is not the features topic"
        )
    elif prediction.source.partition != outcomes.partition:
        check.violation("wrong_partition", record.where, f"its event is in partition {prediction.source.partition}")
    else:
        source = prediction.source
        outcomes.of_event.setdefault((source.offset, source.row), []).append(prediction)
