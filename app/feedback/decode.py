"""Records of the predictions and labels topics, decoded for the ledger or refused with a reason.

Both topics are open to other people's programs, so nothing is believed. A msgspec struct takes what is plainly good;
whatever it does not take is judged again field by field, and that judgement is the meaning.
"""

from __future__ import annotations

import hashlib
import math
import struct
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from app.errors import InvalidRecord, Reason
from app.features import Rejected
from app.features.exact import LATEST_S, parse_object, parse_time_s
from app.features.values import is_text, shown
from app.feedback.seen import SeenLabel, SeenPrediction, entry_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.features import Contract
    from app.records import Record

MAX_RECORD_BYTES = 1 << 20
VERSION_MAX = 2**32 - 1
OFFSET_BITS = 44
"""Of the 64 bits of a record's coordinates; a record of the source may hold 2 ** 20 rows."""

Time = Annotated[float, Meta(ge=0, lt=LATEST_S)]
_Probability = Annotated[float, Meta(ge=0, le=1)]


class SmallPrediction(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """What the ledger needs of a prediction, but for its id and its coordinates."""

    version: Annotated[int, Meta(ge=0, le=VERSION_MAX)]
    prediction: str | bool | int | float
    event_at: Time
    score: _Probability | None = None
    scores: list[_Probability] | None = None


class _PredictionFields(SmallPrediction, gc=False, kw_only=True):
    """A prediction as it stands on its topic."""

    id: str | int


class _LabelFields(msgspec.Struct, gc=False):
    id: str | int
    label: str | bool | int | float
    at: Time | None = None


_prediction_decoder = msgspec.json.Decoder(_PredictionFields)
_label_decoder = msgspec.json.Decoder(_LabelFields)


def decode_predictions(
    records: Sequence[Record], contract: Contract, *, max_record_bytes: int = MAX_RECORD_BYTES
) -> tuple[list[SeenPrediction], list[Rejected]]:
    """The good predictions in order, and the others with their reasons."""
    judge = prediction_judge(contract)
    seen: list[SeenPrediction] = []
    rejected: list[Rejected] = []
    for position, record in enumerate(records):
        try:
            id_, fields = prediction_fields(record, max_record_bytes)
            y_pred, score, scores = judge(fields)
            seen.append(
                SeenPrediction(
                    record.offset,
                    entry_key(id_),
                    coordinates(record),
                    fields.version,
                    fields.event_at,
                    record.timestamp / 1000,
                    y_pred,
                    score,
                    scores,
                )
            )
        except InvalidRecord as error:
            rejected.append(Rejected(position, error.reason, str(error)))
    return seen, rejected


def decode_labels(
    records: Sequence[Record], contract: Contract, *, max_record_bytes: int = MAX_RECORD_BYTES
) -> tuple[list[SeenLabel], list[Rejected]]:
    """The good labels in order, and the others with their reasons; `at` defaults to the record's timestamp."""
    judge = label_judge(contract)
    seen: list[SeenLabel] = []
    rejected: list[Rejected] = []
    for position, record in enumerate(records):
        try:
            id_, at, label = label_fields(record, max_record_bytes)
            seen.append(SeenLabel(record.offset, entry_key(id_), at, judge(label)))
        except InvalidRecord as error:
            rejected.append(Rejected(position, error.reason, str(error)))
    return seen, rejected


def prediction_fields(record: Record, max_record_bytes: int) -> tuple[str, SmallPrediction]:
    """The id of *record*, and what else it says; InvalidRecord if it is no prediction."""
    fields: _PredictionFields = _fields(record, _prediction_decoder, max_record_bytes) or _exact_prediction(
        parse_object(record.value, max_record_bytes=max_record_bytes)
    )
    return _id_text(fields.id), fields


def judged_prediction(fields: SmallPrediction, contract: Contract) -> tuple[float, float, bytes]:
    """Predicted class index or number, score, scores, as in `SeenPrediction`; InvalidRecord if they do not fit."""
    return _y_pred(fields.prediction, contract), *_scores(fields, contract)


def prediction_judge(contract: Contract) -> Callable[[SmallPrediction], tuple[float, float, bytes]]:
    """`judged_prediction` for thousands of predictions under one contract."""
    if contract.task != "binary":
        return partial(judged_prediction, contract=contract)
    index_of: dict[tuple[type, str | bool | int | float], int] = {}

    def judge(fields: SmallPrediction) -> tuple[float, float, bytes]:
        prediction, score = fields.prediction, fields.score
        known = type(prediction), prediction
        index = index_of.get(known)
        if index is None:
            index = index_of[known] = int(_y_pred(prediction, contract))
        return index, (math.nan if score is None else score), b""

    return judge


def label_fields(record: Record, max_record_bytes: int) -> tuple[str, float, Any]:
    """Id, time and label of *record*, `at` being its timestamp if it names none; InvalidRecord if it is no label."""
    fields = _fields(record, _label_decoder, max_record_bytes) or _exact_label(
        parse_object(record.value, max_record_bytes=max_record_bytes)
    )
    id_ = _id_text(fields.id)
    return id_, fields.at if fields.at is not None else _timestamp(record), fields.label


def label_judge(contract: Contract) -> Callable[[Any], float]:
    """From a label to its class index or number; InvalidRecord if it is none of the contract's."""
    return contract.label_number if contract.task == "regression" else contract.label_class


def coordinates(record: Record) -> int:
    """64 bits that tell the source of a prediction: by its headers, or its own place if it has none that are good.

    Within one source partition no two are equal; between partitions they differ by 64 hashed bits.
    """
    headers = record.headers
    try:
        # As nearly all are: what is done below, in half the time.
        if len(headers) == len(_OURS):
            (a, topic), (b, partition), (c, offset), (d, _) = headers
            if (a, b, c, d) == _OURS:
                return _placed(_salt(topic, partition), int(offset), 0)
        elif len(headers) == len(_OUR_ROWS):
            (a, topic), (b, partition), (c, offset), (d, row), (e, _) = headers
            if (a, b, c, d, e) == _OUR_ROWS:
                return _placed(_salt(topic, partition), int(offset), int(row))
    except (ValueError, TypeError):
        pass
    named = named_coordinates(dict(headers))
    return own_coordinates(record.topic.encode(), record.partition, record.offset) if named is None else named


def named_coordinates(headers: dict[str, bytes], prefix: str = "source") -> int | None:
    """The coordinates that the headers `<prefix>-topic` and so on name; None if there are none that are good."""
    try:
        row = int(headers.get(f"{prefix}-row", b"0"))
        salt = _salt(headers[f"{prefix}-topic"], headers[f"{prefix}-partition"])
        return _placed(salt, int(headers[f"{prefix}-offset"]), row)
    except (KeyError, ValueError, TypeError):  # absent, no number, or null
        return None


def own_coordinates(topic: bytes, partition: int, offset: int) -> int:
    """The coordinates of a prediction without a source, from where it stands itself."""
    return ((offset << (64 - OFFSET_BITS)) + _salt(topic, b"own %d" % partition)) & 0xFFFFFFFFFFFFFFFF


_OURS = "source-topic", "source-partition", "source-offset", "model-sha256"
"""The headers of a prediction that a worker made, in their order."""
_OUR_ROWS = "source-topic", "source-partition", "source-offset", "source-row", "model-sha256"
"""The same of a row of a record."""


def _placed(salt: int, offset: int, row: int) -> int:
    return ((offset << (64 - OFFSET_BITS)) + row + salt) & 0xFFFFFFFFFFFFFFFF


@lru_cache(maxsize=4096)
def _salt(topic: bytes, partition: bytes) -> int:
    digest = hashlib.blake2b(topic + b"\0" + partition, digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _fields(record: Record, decoder: msgspec.json.Decoder[Any], max_record_bytes: int) -> Any:
    """What the struct makes of the record, None if it has to be judged field by field."""
    value = record.value
    if value is None or len(value) > max_record_bytes:
        return None
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _exact_prediction(event: dict[str, Any]) -> _PredictionFields:
    id_ = _id(event)
    event_at = _time(event, "event_at")
    version = event.get("version")
    if isinstance(version, float) and version.is_integer():
        version = int(version)
    if type(version) is not int or not 0 <= version <= VERSION_MAX:
        raise InvalidRecord(Reason.WRONG_TYPE, f"version is {shown(version)}; expected an integer from 0 on")
    prediction = event.get("prediction")
    if not isinstance(prediction, str | bool | int | float):
        raise InvalidRecord(Reason.WRONG_TYPE, f"prediction is {shown(prediction)}; expected a class or a number")
    score, scores = event.get("score"), event.get("scores")
    if score is not None:
        score = _probability("score", score)
    if scores is not None:
        if not isinstance(scores, list):
            raise InvalidRecord(Reason.WRONG_TYPE, f"scores is {shown(scores)}; expected a list of numbers")
        scores = [_probability("scores", item) for item in scores]
    return _PredictionFields(
        id=id_, version=version, prediction=prediction, event_at=event_at, score=score, scores=scores
    )


def _exact_label(event: dict[str, Any]) -> _LabelFields:
    id_ = _id(event)
    at = None if event.get("at") is None else _time(event, "at")
    if event.get("label") is None:
        raise InvalidRecord(Reason.BAD_LABEL, "label is missing")
    return _LabelFields(id_, event["label"], at)


def _id(event: dict[str, Any]) -> str:
    raw = event.get("id")
    if type(raw) is int:
        return str(raw)
    if type(raw) is str and raw and is_text(raw):
        return raw
    problem = "is missing" if raw is None else f"is {shown(raw)}"
    raise InvalidRecord(Reason.BAD_ID, f"id {problem}; expected a non-empty string or an integer")


def _id_text(id_: str | int) -> str:
    if type(id_) is int:
        return str(id_)
    if not id_:
        raise InvalidRecord(Reason.BAD_ID, "id is ''; expected a non-empty string or an integer")
    return id_  # type: ignore[return-value]  # no int is left


def _time(event: dict[str, Any], name: str) -> float:
    raw = event.get(name)
    time_s = parse_time_s(raw, "s")
    if time_s is None:
        problem = "is missing" if raw is None else f"is {shown(raw)}"
        raise InvalidRecord(Reason.BAD_TIME, f"{name} {problem}; expected epoch seconds from 1970 to 9999")
    return time_s


def _timestamp(record: Record) -> float:
    time_s = record.timestamp / 1000
    if not 0 <= time_s < LATEST_S:
        raise InvalidRecord(Reason.BAD_TIME, f"at is missing, and the record's timestamp is {record.timestamp} ms")
    return time_s


def _probability(name: str, raw: Any) -> float:
    if type(raw) not in (int, float):
        raise InvalidRecord(Reason.WRONG_TYPE, f"{name}: {shown(raw)} is not a number")
    if not 0 <= raw <= 1:
        raise InvalidRecord(Reason.OUT_OF_RANGE, f"{name}: {shown(raw)} is no probability")
    return float(raw)


def _y_pred(prediction: Any, contract: Contract) -> float:
    """The predicted class's index or number; a prediction that is none of the contract's is of the wrong type."""
    try:
        if contract.task == "regression":
            return contract.label_number(prediction)
        return contract.label_class(prediction)
    except InvalidRecord as error:
        raise InvalidRecord(Reason.WRONG_TYPE, f"prediction: {error}") from None


def _scores(fields: SmallPrediction, contract: Contract) -> tuple[float, bytes]:
    """Binary: the score, NaN without. Multiclass: float32 scores packed, empty without."""
    if contract.task == "binary":
        return (math.nan if fields.score is None else fields.score), b""
    if contract.task == "regression" or fields.scores is None:
        return math.nan, b""
    if len(fields.scores) != len(contract.classes):
        raise InvalidRecord(Reason.WRONG_TYPE, f"scores: {len(fields.scores)} for {len(contract.classes)} classes")
    return math.nan, struct.pack(f"<{len(fields.scores)}f", *fields.scores)
