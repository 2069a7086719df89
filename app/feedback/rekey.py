"""From the predictions and labels topics to the ledger topic: small records keyed by id, one for each good record.

    predictions  any key   good -> key = id, {"version", "prediction", "event_at" ...}
    labels       any key   good -> key = id, {"label", "at"}                           -> partition = murmur2(id) % n
                           bad  -> dead letter

Headers tell where the record stands (`source-*`) and, for a prediction, of which event it is (`event-*`): copies of a
prediction are copies on the ledger topic too, and the ledger ignores them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.errors import InvalidRecord, Reason
from app.features import Rejected
from app.features.dead_letters import COPY_MAX_BYTES
from app.feedback.decode import (
    MAX_RECORD_BYTES,
    SmallPrediction,
    judged_prediction,
    label_fields,
    label_judge,
    named_coordinates,
    prediction_fields,
)
from app.keys import partitions_of
from app.records import OutRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features import Contract
    from app.records import ClassValue, Record

_EVENT_HEADERS = {f"source-{name}": f"event-{name}" for name in ("topic", "partition", "offset", "row")}


class SmallLabel(msgspec.Struct, gc=False):
    """What the ledger needs of a label, but for its id; `at` is always told."""

    label: str | bool | int | float
    at: float


class Rekeyed(NamedTuple):
    """What comes of a batch of one partition of predictions or labels."""

    records: dict[int, list[OutRecord]]
    """By partition of the ledger topic, in the order in which they came."""
    rejected: list[Rejected]
    n: int
    """How many records there are."""


_encode = msgspec.json.Encoder().encode


def rekey_predictions(
    records: Sequence[Record], contract: Contract, n_partitions: int, *, max_record_bytes: int = MAX_RECORD_BYTES
) -> Rekeyed:
    """The good predictions among *records* as records of the ledger topic, which has *n_partitions*."""
    small: list[OutRecord] = []
    rejected: list[Rejected] = []
    for position, record in enumerate(records):
        try:
            id_, fields = prediction_fields(record, max_record_bytes)
            y_pred, _, _ = judged_prediction(fields, contract)
            form = SmallPrediction(
                version=fields.version,
                prediction=_as_contract(y_pred, contract),
                event_at=fields.event_at,
                score=fields.score,
                scores=fields.scores,
            )
            small.append(_small(record, id_, form, _event(record)))
        except InvalidRecord as error:
            rejected.append(Rejected(position, error.reason, str(error)))
    return _parted(small, rejected, n_partitions)


def rekey_labels(
    records: Sequence[Record], contract: Contract, n_partitions: int, *, max_record_bytes: int = MAX_RECORD_BYTES
) -> Rekeyed:
    """The good labels among *records*, likewise; `at` is resolved."""
    judge = label_judge(contract)
    small: list[OutRecord] = []
    rejected: list[Rejected] = []
    for position, record in enumerate(records):
        try:
            id_, at, label = label_fields(record, max_record_bytes)
            form = SmallLabel(_as_contract(judge(label), contract), at)
            small.append(_small(record, id_, form, []))
        except InvalidRecord as error:
            rejected.append(Rejected(position, error.reason, str(error)))
    return _parted(small, rejected, n_partitions)


def _as_contract(y: float, contract: Contract) -> ClassValue:
    """The class of index *y* as the contract writes it, or the number *y* of a regression."""
    return y if contract.task == "regression" else contract.classes[int(y)]


def _event(record: Record) -> list[tuple[str, bytes]]:
    """The headers that tell of which event a prediction is; none for one that is its own source."""
    headers = dict(record.headers)
    if named_coordinates(headers) is None:
        return []
    return [(event, headers[source]) for source, event in _EVENT_HEADERS.items() if source in headers]


def _small(record: Record, id_: str, form: Any, event: list[tuple[str, bytes]]) -> OutRecord:
    key, value = id_.encode(), _encode(form)
    headers = [
        ("source-topic", record.topic.encode()),
        ("source-partition", b"%d" % record.partition),
        ("source-offset", b"%d" % record.offset),
        *event,
    ]
    n_bytes = len(key) + len(value) + sum([len(value) for _, value in headers])
    if n_bytes > COPY_MAX_BYTES:
        raise InvalidRecord(
            Reason.OVERSIZED, f"keyed by its id it would have {n_bytes} bytes, at most {COPY_MAX_BYTES} are possible"
        )
    return OutRecord(key, value, record.timestamp, headers)


def _parted(small: list[OutRecord], rejected: list[Rejected], n_partitions: int) -> Rekeyed:
    keys = [record.key or b"" for record in small]
    parts: dict[int, list[OutRecord]] = {}
    for partition, record in zip(partitions_of(keys, n_partitions), small, strict=True):
        parts.setdefault(partition, []).append(record)
    return Rekeyed(parts, rejected, len(small))
