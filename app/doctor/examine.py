"""All checks of some pipelines, in the order in which one rests on the other."""

from __future__ import annotations

from collections.abc import Mapping

from app.doctor.finding import Finding, Level
from app.doctor.kafka import check_broker
from app.doctor.labels import Read, check_labels
from app.features import Contract
from app.topology.topics import Topic, Width, admin_client, partition_counts, wanted_topics


async def examine(broker: str, contracts: Mapping[str, Contract], read: Read, *, n_records: int) -> list[Finding]:
    """What there is to say of *contracts*' pipelines; raises BrokerError when Kafka does not answer.

    read: see `labels.Read`; n_records: of each partition of labels and predictions.
    """
    findings = [await check_broker(broker)]
    for contract in contracts.values():
        wanted = wanted_topics(contract)
        async with admin_client(broker) as client:
            counts = await partition_counts(client, [topic.name for topic in wanted])
        findings += [check_topics(contract, wanted, counts), check_partitions(contract, wanted, counts)]
        if contract.topics.predictions in counts and (n_partitions := counts.get(contract.topics.labels)):
            findings.append(await check_labels(contract, n_partitions, read, n_records))
    return findings


def check_topics(contract: Contract, wanted: list[Topic], counts: Mapping[str, int]) -> Finding:
    """Are the topics there? counts: partitions of those that are."""
    missing = [topic.name for topic in wanted if topic.name not in counts]
    if not missing:
        return Finding("topics", Level.OK, f"all {len(wanted)} topics are there", contract.name)
    return Finding(
        "topics",
        Level.PROBLEM,
        f"{len(missing)} of {len(wanted)} topics are missing: {', '.join(missing)}",
        contract.name,
        f"make them: faust-onnx topics create --pipeline {contract.name}",
        {"missing": missing},
    )


def check_partitions(contract: Contract, wanted: list[Topic], counts: Mapping[str, int]) -> Finding:
    """Have they the partitions that they need? Those that are missing are left out."""
    # Labels with a count of their own say nothing about the events.
    width = counts.get(contract.topics.features) or (None if contract.is_by_id else counts.get(contract.topics.labels))
    if width is None:
        return Finding("partitions", Level.OK, "there is nothing to compare yet", contract.name)
    wrong = {
        topic.name: (counts[topic.name], needs)
        for topic in wanted
        if topic.name in counts and (needs := _missed(topic, counts, width)) is not None
    }
    details = {"partitions": dict(counts)}
    if not wrong:
        return Finding("partitions", Level.OK, f"{width} for each topic of the events", contract.name, details=details)
    shown = ", ".join(f"{name} has {n} and needs {needs}" for name, (n, needs) in wrong.items())
    return Finding(
        "partitions",
        Level.PROBLEM,
        f"{shown}: partition n of one topic belongs to partition n of the others",
        contract.name,
        _fix(contract, wrong),
        details,
    )


def _missed(topic: Topic, counts: Mapping[str, int], width: int) -> int | None:
    """How many partitions *topic* ought to have; None where it has what it needs."""
    match topic.width:
        case Width.ONE:
            needs = 1
        case Width.EVENTS:
            needs = width
        case Width.WIDEST:  # it holds records by the partition number of any of the others
            needs = max(counts.values())
            return needs if counts[topic.name] < needs else None
        case Width.OWN:
            return None
    return needs if counts[topic.name] != needs else None


def _fix(contract: Contract, wrong: Mapping[str, tuple[int, int]]) -> str:
    grown = [name for name, (n, needs) in wrong.items() if n < needs]
    shrunk = [name for name in wrong if name not in grown]
    lines = [f"kafka-topics.sh --alter --topic {name} --partitions {wrong[name][1]}" for name in grown]
    if shrunk:
        lines.append(f"Kafka takes no partition away: make {', '.join(shrunk)} anew, or give the others as many")
    if contract.topics.labels in wrong and contract.join == "keyed":
        lines.append(f'or set join = "by-id" in models/{contract.name}/contract.toml: labels may then lie anywhere')
    return "\n".join(lines)
