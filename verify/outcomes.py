"""What became of records: predictions and dead letters, as they stand on their topics."""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from verify.contract import Contract, parse_json, same
from verify.decode import LATEST_S
from verify.read import Record
from verify.report import Check

REASONS = frozenset(
    (
        "not_json",
        "not_object",
        "null_value",
        "missing_feature",
        "wrong_type",
        "out_of_range",
        "not_finite",
        "bad_id",
        "bad_time",
        "bad_label",
        "oversized",
        "scoring_failed",
    )
)
SOURCE_HEADERS = ("source-topic", "source-partition", "source-offset")
NUMBER = (int, float)
ROWS_MAX = 1 << 16
"""Rows that a record may have."""


class Source(NamedTuple):
    """Where the record stands that an outcome belongs to: the outcome's identity."""

    topic: str
    partition: int
    offset: int
    row: int | None = None
    """Which row of it, where a record holds several events."""


@dataclass(slots=True)
class Prediction:
    """A prediction; without `source` it is of a foreign program, and its own place is its identity."""

    offset: int
    timestamp_ms: int
    create_time: bool
    key: bytes | None
    source: Source | None
    sha256: str | None
    id: str
    version: int
    prediction: Any
    event_at: float
    score: float | None
    scores: tuple[float, ...] | None
    scored_at: float | None
    model: str | None
    partition: int = 0
    size: int = 0
    """Bytes of the record's value and headers."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What copies share and nothing else does."""
        return self.source or ("own", self.offset)


class DeadLetter(NamedTuple):
    """A dead letter, its value reduced to size and digest."""

    where: str
    source: Source
    reason: str
    key: bytes | None
    size: int | None
    """Of the value as it stands there; None for null."""
    sha256: str
    truncated: bool
    original_size: str | None
    original_sha256: str | None
    row: bytes | None = None
    """The value itself, if it is of one row of a record: it is another than the record's."""


def digest(value: bytes | None) -> str:
    """SHA-256 of *value* in hex; of null that of nothing."""
    return hashlib.sha256(value or b"").hexdigest()


def headers_of(record: Record) -> dict[str, str]:
    """The headers as text; ValueError if one is no ASCII or stands twice."""
    headers: dict[str, str] = {}
    for name, value in record.headers:
        if name in headers:
            raise ValueError(f"header {name} stands twice")
        if value is None:
            raise ValueError(f"header {name} is null")
        headers[name] = value.decode("ascii")
    return headers


def source_of(headers: dict[str, str]) -> Source | None:
    """The source coordinates; None if there are none at all, ValueError if they are not whole."""
    return named_source(headers, "source")


def named_source(headers: dict[str, str], prefix: str) -> Source | None:
    """The coordinates that the headers `<prefix>-topic`, `-partition`, `-offset` and `-row` name, likewise."""
    names = [f"{prefix}-{name}" for name in ("topic", "partition", "offset")]
    if not any(name in headers for name in names):
        return None
    topic, partition, offset = (headers.get(name, "") for name in names)
    if not topic or not partition.isdecimal() or not offset.isdecimal():
        raise ValueError(f"source coordinates are {topic!r}, {partition!r}, {offset!r}")
    row = headers.get(f"{prefix}-row")
    if row is not None and not (row.isdecimal() and int(row) < ROWS_MAX):
        raise ValueError(f"the row of a record is {row!r}")
    return Source(sys.intern(topic), int(partition), int(offset), None if row is None else int(row))


def parse_prediction(contract: Contract, record: Record) -> Prediction:
    """The prediction in *record*; ValueError says what breaks the public contract."""
    headers = headers_of(record)
    source = source_of(headers)
    content = parse_json(record.value or b"")
    if not isinstance(content, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - one kind of error for whatever is malformed
    prediction_id: Any = str(content["id"]) if type(content.get("id")) is int else content.get("id")
    _must(type(prediction_id) is str and prediction_id, "id is no text")
    _must(type(content.get("version")) is int and content["version"] >= 0, "version is no integer from 0 on")
    for name in ("event_at", "scored_at"):
        value = content.get(name)
        _must(value is None or (type(value) in NUMBER and 0 <= value < LATEST_S), f"{name} is no time")
    _must(content.get("event_at") is not None, "no event_at")
    score, scores = content.get("score"), content.get("scores")
    _must(score is None or _is_probability(score), "score is no probability")
    if scores is not None:
        _must(type(scores) is list and all(map(_is_probability, scores)), "scores are no probabilities")
        _must(len(scores) == len(contract.classes), f"{len(scores)} scores for {len(contract.classes)} classes")
    predicted: Any = content.get("prediction")
    if contract.task == "regression":
        _must(type(predicted) in NUMBER and math.isfinite(predicted), "prediction is no number")
    else:
        _must(any(same(predicted, value) for value in contract.classes), f"prediction {predicted!r} is no class")
    if source is not None:
        _check_ours(contract, content, headers)
    return Prediction(
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        create_time=record.create_time,
        key=record.key,
        source=source,
        sha256=sys.intern(headers["model-sha256"]) if "model-sha256" in headers else None,
        id=prediction_id,
        version=content["version"],
        prediction=sys.intern(predicted) if type(predicted) is str else predicted,
        event_at=float(content["event_at"]),
        score=score,
        scores=None if scores is None else tuple(scores),
        scored_at=content.get("scored_at"),
        model=content.get("model"),
        partition=record.partition,
        size=record.size,
    )


def _check_ours(contract: Contract, content: dict[str, Any], headers: dict[str, str]) -> None:
    """What a prediction of our own program has beyond the little that one of a foreign program needs."""
    null = [name for name, value in content.items() if value is None]
    _must(not null, f"null in {', '.join(null)}: absent means omitted")
    _must(type(content["id"]) is str, "id is no text")
    _must("scored_at" in content and "model" in content, "model or scored_at is missing")
    _must("model-sha256" in headers, "header model-sha256 is missing")
    is_row = contract.encoding == "arrow"
    _must(is_row == ("source-row" in headers), "header source-row belongs to events that are rows of records")
    _must((contract.task == "binary") == ("score" in content), "score belongs to binary tasks")
    _must((contract.task == "multiclass") == ("scores" in content), "scores belong to multiclass tasks")


def _is_probability(value: Any) -> bool:
    return type(value) in NUMBER and 0 <= value <= 1


def _must(holds: Any, message: str) -> None:
    if not holds:
        raise ValueError(message)


def parse_dead_letter(record: Record) -> DeadLetter:
    """The dead letter in *record*; ValueError says what breaks the public contract."""
    headers = headers_of(record)
    source = source_of(headers)
    if source is None:
        raise ValueError("no source coordinates")
    missing = [name for name in ("reason", "error", "failed-at") if name not in headers]
    _must(not missing, f"headers {missing} are missing")
    _must(math.isfinite(float(headers["failed-at"])), "failed-at is no time")
    return DeadLetter(
        where=record.where,
        source=source,
        reason=headers["reason"],
        key=record.key,
        size=None if record.value is None else len(record.value),
        sha256=digest(record.value),
        truncated="truncated" in headers,
        original_size=headers.get("size"),
        original_sha256=headers.get("sha256"),
        row=record.value if source.row is not None else None,
    )


def check_reason(check: Check, letter: DeadLetter) -> None:
    """The dead letter has one of the public reasons."""
    if letter.reason not in REASONS:
        check.violation("unknown_reason", letter.where, f"reason {letter.reason!r}")


def check_original(check: Check, letter: DeadLetter, original: Record) -> None:
    """The dead letter carries its original's partition, key and bytes, whole or cut and described."""
    value = original.value or b""
    check_reason(check, letter)
    if not letter.truncated:
        if letter.key != original.key:
            check.violation("altered_key", letter.where, f"key {letter.key!r}, of {original.where} {original.key!r}")
        if (letter.size is None) != (original.value is None) or letter.sha256 != digest(value):
            check.violation("altered_bytes", letter.where, f"not the bytes of {original.where}")
        return
    if letter.original_size != str(len(value)) or letter.original_sha256 != digest(value):
        check.violation("altered_bytes", letter.where, f"size or sha256 are not those of {original.where}")
    if letter.sha256 != digest(value[: letter.size or 0]):
        check.violation("altered_bytes", letter.where, f"not the beginning of {original.where}")
    if not (original.key or b"").startswith(letter.key or b"") or (letter.key is None) != (original.key is None):
        check.violation("altered_key", letter.where, f"not the key of {original.where}, nor its beginning")
