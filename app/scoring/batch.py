"""The hot path as a function: a batch of feature records in, predictions and dead letters out.

A record on which the program itself fails - decoding, scoring or encoding it raises what nobody foresaw - is a dead
letter like any other, `scoring_failed`, and its neighbours are scored: the batch is tried in parts (`isolation`).
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.errors import Reason
from app.features import WHOLE, dead_letter
from app.records import OutRecord, Prediction
from app.scoring.isolation import describe, isolated
from app.scoring.prediction_columns import prediction_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.columns import RecordColumns
    from app.features import DecodedBatch, Decoder
    from app.records import Record
    from app.scoring.scorer import Scorer, Scores

    Failure = tuple[int, int, Reason, str]
    """Position in the batch and row in the record there (WHOLE for all of it), and why that is a dead letter."""
    _Answered = tuple[DecodedBatch, Scores]

encode = msgspec.json.Encoder().encode


class ScoredBatch(NamedTuple):
    """One outcome for each record of a batch, a prediction or a dead letter; both lists are in the batch's order.

    Where records have rows each row has one, unless its record cannot be read: that has one for all of it.
    """

    predictions: Sequence[OutRecord]
    dead_letters: list[OutRecord]
    versions: dict[int, int]
    """Version -> how many predictions it made."""
    failed: dict[int, int]
    """Version -> how many records it could not score; dead letters too."""
    reasons: dict[Reason, int]
    """Why there are dead letters -> how many."""


def score_batch(
    records: Sequence[Record], decoder: Decoder, scorer_for: Callable[[float], Scorer], *, now_s: float
) -> ScoredBatch:
    """Score *records*, each with the version that is in force at its Kafka timestamp.

    scorer_for: from a timestamp in epoch seconds to the scorer in force; asked once per distinct timestamp.
    now_s: what `scored_at` and `failed-at` say.
    """
    prepared = PreparedBatch(records, decoder, scorer_for)
    return prepared.finish(prepared.run(), now_s=now_s)


class PreparedBatch:
    """Decoded records with their scorers: `run` gives the models' answers, in any thread, and `finish` the records."""

    def __init__(self, records: Sequence[Record], decoder: Decoder, scorer_for: Callable[[float], Scorer]) -> None:
        """scorer_for: as for `score_batch`; what it raises goes up, for it is no record's fault."""
        self._records = records
        self._decoder = decoder
        self._failures: list[Failure] = []
        self._unscored: dict[int, int] = {}
        """Version -> on how many records it failed in a way that nobody foresaw."""
        self._groups: list[tuple[Scorer, DecodedBatch]] = []
        for decoded in self._decoded(decoder):
            self._failures += [(each.position, each.row, each.reason, each.error) for each in decoded.rejected]
            self._groups += _by_scorer(records, decoded, scorer_for)

    def __len__(self) -> int:
        """Rows for the models."""
        return sum(len(part) for _, part in self._groups)

    @property
    def versions(self) -> set[int]:
        """Of the models that it takes."""
        return {scorer.version for scorer, _ in self._groups}

    def _decoded(self, decoder: Decoder) -> list[DecodedBatch]:
        """All that can be decoded, in one part unless the decoder itself fails on some record."""
        records = self._records

        def decode(positions: range) -> DecodedBatch:
            whole = len(positions) == len(records)
            decoded = decoder.decode(records if whole else [records[at] for at in positions])
            return decoded.moved(positions.start)

        parts = []
        for positions, decoded in isolated(decode, range(len(records))):
            if isinstance(decoded, Exception):
                self._failures.append(self._failure(positions[0], WHOLE, decoded, "decoding"))
            else:
                parts.append(decoded)
        return parts

    def run(self) -> list[Scores]:
        """The answers of each of the models; most of the time is spent outside the interpreter's lock.

        A record on which a scorer itself fails leaves the batch, and is a dead letter to come.
        """
        groups: list[tuple[Scorer, DecodedBatch]] = []
        answers: list[Scores] = []
        for scorer, whole in self._groups:

            def score(indices: range, scorer: Scorer = scorer, whole: DecodedBatch = whole) -> _Answered:
                part = whole if len(indices) == len(whole) else whole.select(indices)
                return part, scorer.score(part)

            for indices, answered in isolated(score, range(len(whole))):
                if isinstance(answered, Exception):
                    doing = f"version {scorer.version}: scoring"
                    at = indices[0]
                    self._failures.append(self._failure(whole.kept[at], whole.row_of(at), answered, doing))
                    self._unscored[scorer.version] = self._unscored.get(scorer.version, 0) + 1
                    continue
                groups.append((scorer, answered[0]))
                answers.append(answered[1])
        self._groups = groups
        return answers

    def finish(self, answers: list[Scores], *, now_s: float) -> ScoredBatch:
        """Predictions and dead letters from what `run` gave."""
        failures = list(self._failures)
        if (columns := self._columns(answers, now_s)) is not None:
            return self._scored(
                columns, {self._groups[0][0].version: len(columns)}, dict(self._unscored), failures, now_s
            )
        predictions: list[tuple[int, int, OutRecord]] = []
        versions: dict[int, int] = {}
        failed = dict(self._unscored)
        for (scorer, part), answer in zip(self._groups, answers, strict=True):
            made = self._predictions(part, scorer, answer, now_s, failures)
            if made:
                versions[scorer.version] = versions.get(scorer.version, 0) + len(made)
            if n_failed := len(part) - len(made):
                failed[scorer.version] = failed.get(scorer.version, 0) + n_failed
            predictions += made
        if len(self._groups) > 1:
            predictions.sort(key=lambda made: made[:2])
        return self._scored([record for _, _, record in predictions], versions, failed, failures, now_s)

    def _columns(self, answers: list[Scores], now_s: float) -> RecordColumns | None:
        """All predictions at once, if that can be; else each is made by itself."""
        if len(self._groups) != 1:
            return None
        [(scorer, decoded)], [answer] = self._groups, answers
        try:
            return prediction_columns(self._records, decoded, answer, scorer, now_s=now_s)
        except Exception:  # noqa: BLE001  one by one it is found out whose fault it is
            return None

    def _scored(
        self,
        predictions: Sequence[OutRecord],
        versions: dict[int, int],
        failed: dict[int, int],
        failures: list[Failure],
        now_s: float,
    ) -> ScoredBatch:
        """What the batch came to, with a dead letter for each of *failures*."""
        failures.sort()
        reasons: dict[Reason, int] = {}
        for _, _, reason, _ in failures:
            reasons[reason] = reasons.get(reason, 0) + 1
        letters = list(self._dead_letters(failures, now_s))
        return ScoredBatch(predictions, letters, versions, failed, reasons)

    def _dead_letters(self, failures: list[Failure], now_s: float) -> Iterator[OutRecord]:
        """The letters of *failures*: that of a row has the row alone, so that it alone can be replayed."""
        for position, row, reason, error in failures:
            record = self._records[position]
            if row == WHOLE:
                yield dead_letter(record, reason, error, failed_at_s=now_s)
            else:
                alone = self._decoder.alone(record, row)
                yield dead_letter(record, reason, error, failed_at_s=now_s, row=row, value=alone)

    def _predictions(
        self, decoded: DecodedBatch, scorer: Scorer, answers: Scores, now_s: float, failures: list[Failure]
    ) -> list[tuple[int, int, OutRecord]]:
        """Position, row and prediction of each record that *scorer* could score; the others are added to *failures*."""
        records, kept, bad = self._records, decoded.kept, answers.failed
        values = self._encoded(decoded, answers, scorer, now_s, failures)
        for index, text in bad.items():
            if values[index] is not None:
                failures.append(
                    (kept[index], decoded.row_of(index), Reason.SCORING_FAILED, f"version {scorer.version}: {text}")
                )
                values[index] = None
        digest = ("model-sha256", scorer.sha256.encode())
        topic = partition = None
        source: list[tuple[str, bytes]] = []
        new = tuple.__new__  # what OutRecord(...) does in the end, at a third of the time
        made = []
        rows = repeat(WHOLE, len(kept)) if decoded.source_rows is None else decoded.source_rows.tolist()
        for position, row, value in zip(kept, rows, values, strict=True):
            if value is None:
                continue
            record = records[position]
            if record.partition != partition or record.topic != topic:  # a batch is of one partition, as a rule
                topic, partition = record.topic, record.partition
                source = [("source-topic", topic.encode()), ("source-partition", b"%d" % partition)]
            offset = ("source-offset", b"%d" % record.offset)
            if row == WHOLE:
                headers = [*source, offset, digest]
            else:
                headers = [*source, offset, ("source-row", b"%d" % row), digest]
            made.append((position, row, new(OutRecord, (record.key, value, record.timestamp, headers))))
        return made

    def _encoded(
        self, decoded: DecodedBatch, answers: Scores, scorer: Scorer, now_s: float, failures: list[Failure]
    ) -> list[bytes | None]:
        """The prediction of each kept record as JSON; None for one that cannot be written, which is a failure then."""
        model, version, n = scorer.contract.name, scorer.version, len(decoded)
        score = answers.score if answers.score is not None else [None] * n
        scores = answers.scores if answers.scores is not None else [None] * n
        columns: tuple[list[Any], ...] = (decoded.ids, decoded.event_at_s, answers.predictions, score, scores)

        def encode_all(indices: range) -> list[bytes | None]:
            parts = columns if len(indices) == n else tuple(column[indices.start : indices.stop] for column in columns)
            return [
                encode(Prediction(id_, version, prediction, event_at, model, one, all_, now_s))
                for id_, event_at, prediction, one, all_ in zip(*parts, strict=True)
            ]

        values: list[bytes | None] = []
        for indices, encoded in isolated(encode_all, range(n)):
            if isinstance(encoded, Exception):
                at, doing = indices[0], f"version {version}: encoding"
                failures.append(self._failure(decoded.kept[at], decoded.row_of(at), encoded, doing))
                values.append(None)
            else:
                values += encoded
        return values

    def _failure(self, position: int, row: int, error: Exception, doing: str) -> Failure:
        """That the program itself fails on the record at *position*, or on a *row* of it."""
        record = self._records[position]
        where = f"{record.topic}-{record.partition} at {record.offset}{'' if row == WHOLE else f', row {row}'}"
        return position, row, Reason.SCORING_FAILED, describe(error, doing, where)


def _by_scorer(
    records: Sequence[Record], decoded: DecodedBatch, scorer_for: Callable[[float], Scorer]
) -> list[tuple[Scorer, DecodedBatch]]:
    """The kept records by the scorer in force at their timestamps; nearly always one group.

    The first and the last timestamp do not tell: a version may be left and come back within one batch.
    """
    timestamps_of = [record.timestamp for record in records]
    timestamps_ms = [timestamps_of[position] for position in decoded.kept]
    scorer_at = {timestamp_ms: scorer_for(timestamp_ms / 1000) for timestamp_ms in set(timestamps_ms)}
    scorers = {id(scorer): scorer for scorer in scorer_at.values()}
    if len(scorers) == 1:
        return [(next(iter(scorers.values())), decoded)]
    groups: dict[int, list[int]] = {key: [] for key in scorers}
    for index, timestamp_ms in enumerate(timestamps_ms):
        groups[id(scorer_at[timestamp_ms])].append(index)
    return [(scorers[key], decoded.select(indices)) for key, indices in groups.items()]
