"""The whole judgement of a pipeline: its logs in, a report out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from verify.collect import read_outcomes
from verify.contract import Contract
from verify.events import Events, Rules, Serving
from verify.feedback import ById, Feedback, Keyed, records_of
from verify.models import ModelBytes, read_verdicts
from verify.performance import Tallies
from verify.read import Logs, Record
from verify.report import CannotCheck, Report
from verify.rescore import Model, Models
from verify.rows import read_rows
from verify.timeline import Models as ModelsTopic
from verify.timeline import read_models, valid_activations

# What is derived stands before what it is derived from; the features come last.
TOPICS = (
    "performance",
    "ledger",
    "dead-letters",
    "predictions",
    "models",
    "model-bytes",
    "model-events",
    "labels",
    "features",
)
FEEDBACK = ("performance", "ledger", "labels")
PARTITIONED = ("features", "labels", "predictions", "dead-letters")


def verify_pipeline(  # noqa: PLR0913 - what a run may be told
    logs: Logs, contract: Contract, rules: Rules, *, allow_behind: bool = False, feedback: bool = True, keep: int = 20
) -> Report:
    """Judge everything that stands in *logs* by the public contracts.

    allow_behind: `performance` may have counted less than there is; it is then judged at its own positions.
    feedback: whether labels, ledger and panes are judged.
    keep: violations of a kind that the report keeps in full.
    """
    report = Report(contract.name, keep)
    wanted = [name for name in TOPICS if name in contract.topics and (feedback or name not in FEEDBACK)]
    topics = [contract.topics[name] for name in wanted]
    missing = [topic for topic in topics if not logs.partitions(topic)]
    if missing:
        raise CannotCheck(f"topics that do not exist: {', '.join(missing)}")
    partitions = _count_partitions(contract, logs, report, feedback=feedback)
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        serving = _read_serving(contract, logs, report, Path(folder))
        tallies: Feedback | None = None
        if feedback:
            rows = read_rows(_all(logs, contract.topics["performance"]), report.check("panes"))
            kind = ById if contract.is_by_id else Keyed
            tallies = kind(contract, logs, report, Tallies(contract, report, rows, allow_behind=allow_behind))
        events = Events(contract, report, serving, rules)
        for partition in range(partitions):
            label_copies = rules.copies and rules.label_copies
            _check_partition(contract, logs, report, partition, events=events, tallies=tallies, copies=label_copies)
        if tallies is not None:
            tallies.finish()
    report.facts["ends"] = {
        topic: [logs.end(topic, partition) for partition in range(logs.partitions(topic))] for topic in topics
    }
    return report


def _count_partitions(contract: Contract, logs: Logs, report: Report, *, feedback: bool) -> int:
    """The most partitions of any topic whose records have outcomes by partition number.

    They must have equal counts; if labels are joined by id theirs is free, and dead letters have room for each number.
    """
    check = report.check("partitions")
    counts = {name: logs.partitions(contract.topics[name]) for name in PARTITIONED if feedback or name not in FEEDBACK}
    check.checked += len(counts)
    shown = {contract.topics[name]: count for name, count in counts.items()}
    if not contract.is_by_id:
        if len(set(counts.values())) > 1:
            check.violation("unequal", contract.name, f"partition counts differ: {shown}")
    elif counts["predictions"] != counts["features"]:
        check.violation("unequal", contract.name, f"partition counts of features and predictions differ: {shown}")
    elif counts["dead-letters"] < max(counts.values()):
        check.violation("too_few", contract.name, f"dead letters of some partitions have no place: {shown}")
    return max(counts.values())


def _all(logs: Logs, topic: str) -> Iterator[Record]:
    """The records of all partitions of a small topic, one partition after the other."""
    return chain.from_iterable(logs.records(topic, partition) for partition in range(logs.partitions(topic)))


def _read_serving(contract: Contract, logs: Logs, report: Report, folder: Path) -> Serving:
    """Releases and activations; a release is accepted if its bytes are whole, load, and no worker refused it."""
    check = report.check("models")
    topic = read_models(_all(logs, contract.topics["models"]), contract.name)
    report.notes.extend(f"{where} counts for nothing: {why}" for where, why in topic.unreadable)
    store = ModelBytes(folder)
    wanted = {manifest.sha256 for manifest in topic.manifests.values()}
    store.take(_all(logs, contract.topics["model-bytes"]), wanted)
    verdicts = read_verdicts(_all(logs, contract.topics["model-events"]))

    def load(version: int) -> Model:
        return Model(contract, store.whole(topic.manifests[version]))

    accepted = set()
    for version in topic.manifests:
        check.checked += 1
        where = f"release/{version}"
        try:
            load(version)
        except ValueError as error:
            report.notes.append(f"{where} cannot serve: {error}")
            if version in verdicts.accepted:
                check.violation("accepted_broken", where, f"workers accepted it, but {error}")
            continue
        if version in verdicts.refused:
            if version in verdicts.accepted:
                check.violation("not_alike", where, "some workers accepted it and some refused it")
            continue
        accepted.add(version)
    valid = valid_activations(topic, accepted)
    report.facts["releases"] = _facts_of_releases(topic, accepted)
    report.facts["activations"] = [f"{activation.sequence}: version {activation.version}" for activation in valid]
    return Serving(valid, topic.manifests, Models(load))


def _facts_of_releases(topic: ModelsTopic, accepted: set[int]) -> dict[str, str]:
    return {str(version): "accepted" if version in accepted else "not accepted" for version in topic.manifests}


def _check_partition(  # noqa: PLR0913 - the parts of one run meet here
    contract: Contract,
    logs: Logs,
    report: Report,
    partition: int,
    *,
    events: Events,
    tallies: Feedback | None,
    copies: bool,
) -> None:
    features = contract.topics["features"]
    outcomes = read_outcomes(
        contract,
        report,
        partition,
        records_of(logs, contract.topics["predictions"], partition),
        records_of(logs, contract.topics["dead-letters"], partition),
    )
    events.check_partition(
        outcomes,
        records_of(logs, features, partition),
        start=logs.start(features, partition),
        committed=logs.committed(features, partition),
    )
    if outcomes.foreign:
        report.notes.append(f"partition {partition}: {outcomes.foreign} predictions of foreign programs")
    if tallies is None:
        return
    # An event needs its outcomes no more: the ledger has the memory for itself.
    outcomes.of_event.clear()
    tallies.check_partition(outcomes, copies=copies)
