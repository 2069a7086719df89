"""Records of the ledger topic, decoded for the ledger: predictions and labels in one partition, in one order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.errors import InvalidRecord, Reason
from app.features import Rejected
from app.feedback.decode import (
    SmallPrediction,
    Time,
    judged_prediction,
    label_judge,
    named_coordinates,
    own_coordinates,
)
from app.feedback.seen import SeenLabel, SeenPrediction, entry_key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features import Contract
    from app.records import Record


class _SmallLabel(msgspec.Struct, gc=False):
    label: str | bool | int | float
    at: Time


_FOREIGN = "no key, no value, or no header source-topic that names predictions or labels"


class LedgerBatch(NamedTuple):
    """A batch of one partition of the ledger topic."""

    predictions: list[SeenPrediction]
    labels: list[SeenLabel]
    rejected: list[Rejected]
    """What somebody else has written there."""


_prediction_decoder = msgspec.json.Decoder(SmallPrediction)
_label_decoder = msgspec.json.Decoder(_SmallLabel)


def decode_ledger(records: Sequence[Record], contract: Contract) -> LedgerBatch:
    """The predictions and the labels among *records*, each in order, with offsets of the ledger topic."""
    judge = label_judge(contract)
    predictions_topic, labels_topic = contract.topics.predictions.encode(), contract.topics.labels.encode()
    batch = LedgerBatch([], [], [])
    for position, record in enumerate(records):
        headers = dict(record.headers)
        source, key, value = headers.get("source-topic"), record.key, record.value
        try:
            if key and value and source == predictions_topic:
                batch.predictions.append(_prediction(record, key, value, headers, contract))
            elif key and value and source == labels_topic:
                label = _label_decoder.decode(value)
                batch.labels.append(SeenLabel(record.offset, entry_key_of(key), label.at, judge(label.label)))
            else:
                batch.rejected.append(Rejected(position, Reason.WRONG_TYPE, _FOREIGN))
        except InvalidRecord as error:
            batch.rejected.append(Rejected(position, error.reason, str(error)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            batch.rejected.append(Rejected(position, Reason.NOT_JSON, str(error)))
    return batch


def _prediction(
    record: Record, key: bytes, value: bytes, headers: dict[str, bytes], contract: Contract
) -> SeenPrediction:
    fields = _prediction_decoder.decode(value)
    y_pred, score, scores = judged_prediction(fields, contract)
    coordinates = named_coordinates(headers, "event")
    if coordinates is None:
        try:
            partition, offset = int(headers["source-partition"]), int(headers["source-offset"])
        except (KeyError, ValueError, TypeError):
            raise InvalidRecord(Reason.WRONG_TYPE, "headers do not say where the prediction stands") from None
        coordinates = own_coordinates(headers["source-topic"], partition, offset)
    return SeenPrediction(
        record.offset,
        entry_key_of(key),
        coordinates,
        fields.version,
        fields.event_at,
        record.timestamp / 1000,
        y_pred,
        score,
        scores,
    )
