"""The hot path as a function: a batch of feature records in, predictions and dead letters out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.errors import Reason
from app.features import dead_letter
from app.records import OutRecord, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.features import BatchDecoder, DecodedBatch
    from app.records import Record
    from app.scoring.scorer import Scorer, Scores

encode = msgspec.json.Encoder().encode


class ScoredBatch(NamedTuple):
    """One outcome for each record of a batch, a prediction or a dead letter; both lists are in the batch's order."""

    predictions: list[OutRecord]
    dead_letters: list[OutRecord]
    versions: dict[int, int]
    """Version -> how many predictions it made."""
    failed: dict[int, int]
    """Version -> how many records it could not score; dead letters too."""
    reasons: dict[Reason, int]
    """Why there are dead letters -> how many."""


def score_batch(
    records: Sequence[Record], decoder: BatchDecoder, scorer_for: Callable[[float], Scorer], *, now_s: float
) -> ScoredBatch:
    """Score *records*, each with the version that is in force at its Kafka timestamp.

    scorer_for: from a timestamp in epoch seconds to the scorer in force; asked once per distinct timestamp.
    now_s: what `scored_at` and `failed-at` say.
    """
    prepared = PreparedBatch(records, decoder, scorer_for)
    return prepared.finish(prepared.run(), now_s=now_s)


class PreparedBatch:
    """Decoded records with their scorers: `run` gives the models' answers, in any thread, and `finish` the records."""

    def __init__(self, records: Sequence[Record], decoder: BatchDecoder, scorer_for: Callable[[float], Scorer]) -> None:
        """scorer_for: as for `score_batch`."""
        self._records = records
        decoded = decoder.decode(records)
        self._rejected = decoded.rejected
        self._groups = _by_scorer(records, decoded, scorer_for)

    def __len__(self) -> int:
        """Rows for the models."""
        return sum(len(part) for _, part in self._groups)

    @property
    def versions(self) -> list[int]:
        """Of the models that it takes."""
        return [scorer.version for scorer, _ in self._groups]

    def run(self) -> list[Scores]:
        """The answers of each of the models; most of the time is spent outside the interpreter's lock."""
        return [scorer.score(part) for scorer, part in self._groups]

    def finish(self, answers: list[Scores], *, now_s: float) -> ScoredBatch:
        """Predictions and dead letters from what `run` gave."""
        failures = [(rejected.position, rejected.reason, rejected.error) for rejected in self._rejected]
        predictions: list[tuple[int, OutRecord]] = []
        versions: dict[int, int] = {}
        failed: dict[int, int] = {}
        for (scorer, part), answer in zip(self._groups, answers, strict=True):
            made = _predictions(self._records, part, scorer, answer, now_s, failures)
            if made:
                versions[scorer.version] = versions.get(scorer.version, 0) + len(made)
            if n_failed := len(part) - len(made):
                failed[scorer.version] = failed.get(scorer.version, 0) + n_failed
            predictions += made
        if len(self._groups) > 1:
            predictions.sort(key=lambda made: made[0])
        failures.sort()
        reasons: dict[Reason, int] = {}
        for _, reason, _ in failures:
            reasons[reason] = reasons.get(reason, 0) + 1
        letters = [
            dead_letter(self._records[position], reason, error, failed_at_s=now_s)
            for position, reason, error in failures
        ]
        return ScoredBatch([record for _, record in predictions], letters, versions, failed, reasons)


def _by_scorer(
    records: Sequence[Record], decoded: DecodedBatch, scorer_for: Callable[[float], Scorer]
) -> list[tuple[Scorer, DecodedBatch]]:
    """The kept records by the scorer in force at their timestamps; nearly always one group.

    The first and the last timestamp do not tell: a version may be left and come back within one batch.
    """
    timestamps_ms = [records[position].timestamp for position in decoded.kept]
    scorer_at = {timestamp_ms: scorer_for(timestamp_ms / 1000) for timestamp_ms in set(timestamps_ms)}
    scorers = {id(scorer): scorer for scorer in scorer_at.values()}
    if len(scorers) == 1:
        return [(next(iter(scorers.values())), decoded)]
    groups: dict[int, list[int]] = {key: [] for key in scorers}
    for index, timestamp_ms in enumerate(timestamps_ms):
        groups[id(scorer_at[timestamp_ms])].append(index)
    return [(scorers[key], decoded.select(indices)) for key, indices in groups.items()]


def _predictions(  # noqa: PLR0913, PLR0917 - one batch, taken apart
    records: Sequence[Record],
    decoded: DecodedBatch,
    scorer: Scorer,
    answers: Scores,
    now_s: float,
    failures: list[tuple[int, Reason, str]],
) -> list[tuple[int, OutRecord]]:
    """Position and prediction of each record that *scorer* could score; the others are added to *failures*."""
    values = _encoded(decoded, answers, scorer, now_s)
    kept = decoded.kept
    if answers.failed:
        failed = answers.failed
        failures += [
            (position, Reason.SCORING_FAILED, f"version {scorer.version}: {failed[index]}")
            for index, position in enumerate(kept)
            if index in failed
        ]
        values = [value for index, value in enumerate(values) if index not in failed]
        kept = [position for index, position in enumerate(kept) if index not in failed]
    digest = ("model-sha256", scorer.sha256.encode())
    topic = partition = None
    source: list[tuple[str, bytes]] = []
    new = tuple.__new__  # what OutRecord(...) does in the end, at a third of the time
    made = []
    for position, value in zip(kept, values, strict=True):
        record = records[position]
        if record.partition != partition or record.topic != topic:  # a batch is of one partition, as a rule
            topic, partition = record.topic, record.partition
            source = [("source-topic", topic.encode()), ("source-partition", b"%d" % partition)]
        headers = [*source, ("source-offset", b"%d" % record.offset), digest]
        made.append((position, new(OutRecord, (record.key, value, record.timestamp, headers))))
    return made


def _encoded(decoded: DecodedBatch, answers: Scores, scorer: Scorer, now_s: float) -> list[bytes]:
    """The prediction of each kept record as JSON."""
    model, version, n = scorer.contract.name, scorer.version, len(decoded)
    score = answers.score if answers.score is not None else [None] * n
    scores = answers.scores if answers.scores is not None else [None] * n
    answered = zip(decoded.ids, decoded.event_at_s, answers.predictions, score, scores, strict=True)
    return [
        encode(Prediction(id_, version, prediction, event_at, model, one, all_, now_s))
        for id_, event_at, prediction, one, all_ in answered
    ]
