"""The check of a keyed pipeline's labels: whether they lie in the partition of their prediction, and if not, why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from app.doctor.finding import Finding, Level
from app.doctor.placement import Cause, KnownPredictions, Misplaced, Place, Survey
from app.features import Contract
from app.keys import partition_of
from app.records import Record

Read = Callable[[str, int], AsyncIterator[Record]]
"""`(topic, n)` -> the newest *n* records of each of its partitions."""

_CRC32_SHARE = 0.99
"""From this share on of labels that lie where CRC32 of their key says, it is taken for their partitioner."""


class _Id(msgspec.Struct, gc=False):
    id: str | int


_decoder = msgspec.json.Decoder(_Id)


async def check_labels(contract: Contract, n_partitions: int, read: Read, n_records: int) -> Finding:
    """Hold the newest labels against the newest predictions, by id; n_partitions: of the labels topic."""
    if contract.join != "keyed":
        text = f'join = "{contract.join}": labels may lie in any partition, under any key'
        return Finding("labels", Level.OK, text, contract.name)
    known = KnownPredictions()
    async for record in read(contract.topics.predictions, n_records):
        if (prediction_id := _id_of(record)) is not None:
            known.add([(prediction_id, _place(record))])
    survey = Survey(n_partitions)
    async for record in read(contract.topics.labels, n_records):
        if (label_id := _id_of(record)) is not None:
            survey.add(label_id, _place(record), known.of(label_id))
    return judge(contract, survey, len(known), n_records)


def judge(contract: Contract, survey: Survey, n_predictions: int, n_records: int) -> Finding:
    """What *survey* says of the labels of *contract*'s pipeline; n_predictions: ids that it was held against."""
    details = _details(contract, survey, n_predictions)
    if survey.misplaced:
        return Finding(
            "labels",
            Level.PROBLEM,
            f"{survey.misplaced:,} of {survey.met + survey.misplaced:,} labels lie in another partition than their "
            "prediction: they are never joined",
            contract.name,
            "\n".join(_fix(contract, cause, survey) for cause, _ in survey.counts.most_common()),
            details,
        )
    if not survey.read:
        return Finding("labels", Level.OK, f"there are no labels on {contract.topics.labels} yet", contract.name)
    if suspicious := survey.unknown_no_key + survey.unknown_elsewhere:
        whose = (
            f"all {survey.met:,} labels whose prediction was read lie in its partition"
            if survey.met
            else f"no prediction of the {survey.read:,} labels is among the newest {n_records:,} of each partition"
        )
        text = (
            f"{whose}; {suspicious:,} {'others' if survey.met else 'of them'} have no key, or do not lie where murmur2 "
            "of their key puts them"
        )
        # Whoever places events and labels alike needs no murmur2.
        level = Level.OK if survey.met > suspicious else Level.WARNING
        more = f"look at more: faust-onnx doctor --pipeline {contract.name} --records {n_records * 10}"
        return Finding("labels", level, text, contract.name, None if level is Level.OK else more, details)
    if not survey.met:
        text = (
            f"the {survey.read:,} newest labels lie where murmur2 of their key puts them; none of their predictions is "
            f"among the newest {n_records:,} of each partition"
        )
    else:
        text = f"all {survey.met:,} labels whose prediction was read lie in its partition"
    return Finding("labels", Level.OK, text, contract.name, details=details)


def _details(contract: Contract, survey: Survey, n_predictions: int) -> dict[str, Any]:
    causes = [
        {
            "cause": cause.value,
            "n": n,
            "means": _meaning(cause, survey),
            "examples": [_example(contract, each, survey.n_partitions) for each in survey.examples[cause]],
        }
        for cause, n in survey.counts.most_common()
    ]
    return {
        "labels": survey.read,
        "predictions": n_predictions,
        "met": survey.met,
        "misplaced": survey.misplaced,
        "prediction_not_read": survey.unknown,
        "causes": causes,
    }


def _example(contract: Contract, each: Misplaced, n_partitions: int) -> dict[str, Any]:
    key = each.label.key
    return {
        "id": each.id,
        "label": f"{contract.topics.labels}-{each.label.partition}-{each.label.offset}",
        "label_key": _text(key),
        "murmur2_partition": None if key is None else partition_of(key, n_partitions),
        "prediction": f"{contract.topics.predictions}-{each.prediction.partition}-{each.prediction.offset}",
        "prediction_partition": each.prediction.partition,
        "prediction_key": _text(each.prediction.key),
    }


def _meaning(cause: Cause, survey: Survey) -> str:
    match cause:
        case Cause.NO_KEY:
            return "the label has no key, so Kafka puts it anywhere"
        case Cause.OTHER_KEY:
            return "the label's key is not the key of its event"
        case Cause.EVENTS_ELSEWHERE:
            return "the label lies where murmur2 puts its key, but the event of the same key does not"
        case Cause.OTHER_PARTITIONER if _is_librdkafka(survey):
            return "the label lies where CRC32 of its key says: the default of librdkafka and confluent-kafka"
        case Cause.OTHER_PARTITIONER:
            return "the key is the event's, but the label does not lie where murmur2 puts it"


def _fix(contract: Contract, cause: Cause, survey: Survey) -> str:
    by_id = f'or set join = "by-id" in models/{contract.name}/contract.toml'
    match cause:
        case Cause.NO_KEY | Cause.OTHER_KEY:
            field = f" ({contract.key_field} of its record)" if contract.key_field else ""
            return f"send each label with the key of its event{field}, {by_id}"
        case Cause.EVENTS_ELSEWHERE:
            return (
                "place events by murmur2 too (librdkafka, confluent-kafka: partitioner=murmur2_random); "
                f"where partitions were added later, {by_id.removeprefix('or ')}"
            )
        case Cause.OTHER_PARTITIONER if _is_librdkafka(survey):
            return f"configure the producer of the labels with partitioner=murmur2_random, {by_id}"
        case Cause.OTHER_PARTITIONER:
            return (
                "let the producer of the labels place them by murmur2 of the key, as Kafka's Java client does "
                f"(librdkafka: partitioner=murmur2_random), {by_id}"
            )


def _is_librdkafka(survey: Survey) -> bool:
    n = survey.counts[Cause.OTHER_PARTITIONER]
    return n > 0 and survey.like_crc32 >= _CRC32_SHARE * n


def _id_of(record: Record) -> str | None:
    """The record's id as text; None where it has none that could be joined."""
    try:
        return str(_decoder.decode(record.value or b"").id) or None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _place(record: Record) -> Place:
    return Place(record.partition, record.offset, record.key)


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode("utf-8", "backslashreplace")
