"""The ledger topic of a by-id pipeline: each good prediction and label is there once, under its id's partition.

predictions, labels  --expect-->  place and digest of each good record
ledger topic         --take---->  every record ticks one off; what is left was lost, or waits behind
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from verify.contract import Contract, class_key, parse_json, same
from verify.decode import LATEST_S, Label
from verify.outcomes import NUMBER, Prediction, Source, headers_of, named_source
from verify.read import Record
from verify.report import Check, Report

BOUND_BYTES = 900 * 1024
"""A larger record may be too large when its key has become its id, and is a dead letter then."""


class Expected(NamedTuple):
    """What is known of a good record that must be on the ledger topic."""

    partition: int
    digest: bytes
    may_be_dead: bool


@dataclass
class LedgerLog:
    """What stands in one partition of the ledger topic, its offsets being those of that topic."""

    predictions: list[Prediction] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    last: int = -1
    """Offset of the last record; -1 for none."""


class Rekeyed:
    """Holds the ledger topic against the two topics that it is made of."""

    def __init__(self, contract: Contract, report: Report, partitions: int, *, allow_behind: bool) -> None:
        """partitions: how many the ledger topic has; allow_behind: whether the last records may not be there yet."""
        self._contract = contract
        self._check: Check = report.check("rekeyed")
        self._notes = report.notes
        self._partitions = partitions
        self._allow_behind = allow_behind
        self._expected: dict[Source, Expected | None] = {}
        """None for what was seen on the ledger topic."""
        self._starts: dict[tuple[str, int], int] = {}
        self._reached: dict[tuple[str, int], int] = defaultdict(lambda: -1)
        """By topic and partition the greatest offset that is on the ledger topic."""
        self._first: dict[tuple[str, int, int], int] = {}
        """By topic, partition and partition of the ledger topic, where that begins after retention has deleted some."""
        self._older = 0

    def look(self, records: Iterable[Record]) -> None:
        """Note how far the sources have come; only needed where that is to be known before `take`."""
        for record in records:
            try:
                place, _ = _parse(self._contract, record)
            except (ValueError, KeyError, TypeError):
                continue  # `take` tells of it
            source = (place.topic, place.partition)
            self._reached[source] = max(self._reached[source], place.offset)

    # -- what must be there

    def expect_predictions(self, partition: int, predictions: Iterable[Prediction], *, start: int) -> None:
        """The well-formed predictions of a partition that begins at offset *start*."""
        topic = self._contract.topics["predictions"]
        self._starts[topic, partition] = start
        for prediction in predictions:
            place = Source(topic, partition, prediction.offset)
            self._expect(place, prediction)

    def expect_labels(self, partition: int, labels: Iterable[Label], *, start: int) -> None:
        """The good labels of a partition that begins at offset *start*."""
        topic = self._contract.topics["labels"]
        self._starts[topic, partition] = start
        for label in labels:
            self._expect(Source(topic, partition, label.offset), label)

    def _expect(self, place: Source, good: Prediction | Label) -> None:
        partition = (murmur2(good.id.encode()) & 0x7FFFFFFF) % self._partitions
        digest = _digest(good.id, self._content(good, place))
        self._expected[place] = Expected(partition, digest, good.size > BOUND_BYTES)

    # -- what is there

    def take(self, records: Iterable[Record], *, start: int) -> LedgerLog:
        """The predictions and labels in one partition of the ledger topic, which begins at offset *start*.

        What does not fit is told.
        """
        log = LedgerLog()
        before: dict[tuple[str, int], int] = {}
        for record in records:
            self._check.checked += 1
            log.last = record.offset
            try:
                place, found = _parse(self._contract, record)
            except (ValueError, KeyError, TypeError) as error:
                self._check.violation("malformed", record.where, str(error))
                continue
            self._tick_off(record, place, found)
            source = (place.topic, place.partition)
            if source not in before and start > 0:
                self._first[*source, record.partition] = place.offset
            elif before.get(source, -1) > place.offset:
                self._check.violation("disorder", record.where, f"{_text(place)} comes after a later one of its topic")
            before[source] = place.offset
            if isinstance(found, Prediction):
                log.predictions.append(found)
            else:
                log.labels.append(found)
        return log

    def _tick_off(self, record: Record, place: Source, found: Prediction | Label) -> None:
        source = (place.topic, place.partition)
        self._reached[source] = max(self._reached[source], place.offset)
        is_known, expected = place in self._expected, self._expected.get(place)
        if is_known and expected is None:
            self._check.violation("doubled", record.where, f"{_text(place)} is on the ledger topic already")
            return
        self._expected[place] = None
        if expected is None:
            if place.offset < self._starts.get(source, 0):
                self._older += 1
            else:
                self._check.violation("no_source", record.where, f"{_text(place)} is no good record, or not there")
            return
        if expected.partition != record.partition:
            text = f"the id {found.id!r} belongs to partition {expected.partition}"
            self._check.violation("wrong_partition", record.where, text)
        content = self._content(found, place)
        if expected.digest != _digest(found.id, content):
            self._check.violation("altered", record.where, f"{content} is not what {_text(place)} says")

    def _content(self, found: Prediction | Label, place: Source) -> tuple[Any, ...]:
        """What a record must say on both topics; *place*: where it stands on the first of them."""
        if isinstance(found, Label):
            return "label", class_key(found.label), found.at_s, found.timestamp_ms
        predicted: Any = found.prediction
        return (
            "prediction",
            found.version,
            float(predicted) if self._contract.task == "regression" else class_key(predicted),
            found.event_at,
            None if found.score is None else float(found.score),
            () if found.scores is None else tuple(map(float, found.scores)),
            found.timestamp_ms,
            # One of a foreign program is its own source, wherever it was copied to.
            tuple(found.source or place),
        )

    def finish(self) -> None:
        """Tell of what is not there."""
        behind: dict[tuple[str, int], int] = defaultdict(int)
        for place, expected in self._expected.items():
            if expected is None:
                continue
            source = (place.topic, place.partition)
            if expected.may_be_dead or place.offset < self._first.get((*source, expected.partition), -1):
                continue
            if place.offset < self._reached[source]:
                self._check.violation("lost", _text(place), "it is not on the ledger topic, but later ones are")
            else:
                behind[source] += 1
        for (topic, partition), count in sorted(behind.items()):
            text = f"its last {count} good records are not on the ledger topic"
            if self._allow_behind:
                self._notes.append(f"{topic}[{partition}]: {text}")
            else:
                self._check.violation("behind", f"{topic}[{partition}]", text)
        if self._older:
            self._notes.append(f"{self._older} records of the ledger topic are of records that retention has deleted")

    def reached(self, topic: str, partition: int) -> int:
        """The offset after the last record of a partition that is on the ledger topic."""
        return self._reached[topic, partition] + 1


def _parse(contract: Contract, record: Record) -> tuple[Source, Prediction | Label]:
    """Where a record of the ledger topic comes from, and what it says; ValueError if it breaks the contract."""
    headers = headers_of(record)
    place = named_source(headers, "source")
    content = parse_json(record.value or b"")
    if place is None or not isinstance(content, dict) or not record.key:
        raise ValueError("no key, no object, or no source coordinates")
    id_ = record.key.decode("utf-8")
    if place.topic == contract.topics["labels"]:
        _must(_is_time(content.get("at")), f"at is {content.get('at')!r}")
        _must_be_known(contract, content.get("label"), "label")
        return place, Label(record.offset, id_, content["label"], float(content["at"]), record.timestamp_ms)
    _must(place.topic == contract.topics["predictions"], f"source topic {place.topic!r}")
    _must(type(content.get("version")) is int, "version is no integer")
    _must(_is_time(content.get("event_at")), f"event_at is {content.get('event_at')!r}")
    _must_be_known(contract, content.get("prediction"), "prediction")
    score, scores = content.get("score"), content.get("scores")
    _must(score is None or type(score) in NUMBER, "score is no number")
    _must(scores is None or all(type(value) in NUMBER for value in scores), "scores are no numbers")
    return place, Prediction(
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        create_time=record.create_time,
        key=record.key,
        source=named_source(headers, "event") or place,
        sha256=None,
        id=id_,
        version=content["version"],
        prediction=content["prediction"],
        event_at=float(content["event_at"]),
        score=score,
        scores=None if scores is None else tuple(scores),
        scored_at=None,
        model=None,
        partition=record.partition,
    )


def _digest(id_: str, content: tuple[Any, ...]) -> bytes:
    return hashlib.blake2b(repr((id_, content)).encode(), digest_size=16).digest()


def _text(place: Source) -> str:
    return f"{place.topic}[{place.partition}]@{place.offset}"


def _must(holds: bool, message: str) -> None:  # noqa: FBT001 - an assertion that survives -O
    if not holds:
        raise ValueError(message)


def _must_be_known(contract: Contract, value: Any, name: str) -> None:
    if contract.task == "regression":
        _must(type(value) in NUMBER, f"{name} is no number")
    else:
        _must(any(same(value, known) for known in contract.classes), f"{name} {value!r} is no class")


def _is_time(value: Any) -> bool:
    return type(value) in NUMBER and 0 <= value < LATEST_S


def murmur2(data: bytes) -> int:
    """The hash by which Kafka's Java clients choose a key's partition: MurmurHash2, 32 bits, their seed."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) - len(data) % 4
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        k = (k * m) & mask  # noqa: PLW2901 - mixed as it is read
        k ^= k >> 24  # noqa: PLW2901
        h = ((h * m) & mask) ^ ((k * m) & mask)
    if whole < len(data):
        h = ((h ^ int.from_bytes(data[whole:], "little")) * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    return h ^ (h >> 15)
