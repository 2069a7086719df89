"""Which version was in force at which point of the stream, from the records of the `models` topic."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from verify.contract import parse_json
from verify.read import Record

LEAD_S = 2.0


class Manifest(NamedTuple):
    """A release, as its record under `release/<version>` tells it."""

    version: int
    sha256: str
    size: int
    chunks: int
    offset: int


class Activation(NamedTuple):
    """From which Kafka timestamp on a version is in force."""

    sequence: int
    version: int
    effective_from_s: float
    stamped_s: float
    """The activation record's own Kafka timestamp."""
    offset: int


@dataclass
class Models:
    """What stands on the `models` topic; unreadable records are listed, never used."""

    manifests: dict[int, Manifest] = field(default_factory=dict)
    """By version; the first on the topic stands."""
    activations: list[Activation] = field(default_factory=list)
    """Valid or not, in the order of the topic."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def read_models(records: Iterable[Record], pipeline: str) -> Models:
    """The manifests and activations of *pipeline* among *records*."""
    models = Models()
    for record in records:
        kind, _, number = (record.key or b"").decode("utf-8", "replace").partition("/")
        if record.value is None or kind not in ("release", "activation"):
            continue
        try:
            content = parse_json(record.value)
            if kind == "release":
                manifest = _manifest(content, record)
                _must(content["pipeline"] == pipeline, f"release of the pipeline {content['pipeline']!r}")
                _must(str(manifest.version) == number, f"key {kind}/{number} names another version")
                models.manifests.setdefault(manifest.version, manifest)
            else:
                activation = _activation(content, record)
                _must(str(activation.sequence) == number, f"key {kind}/{number} names another sequence")
                models.activations.append(activation)
        except (ValueError, KeyError, TypeError) as error:
            models.unreadable.append((record.where, f"{kind}/{number}: {error!r}"))
    return models


def _manifest(content: Any, record: Record) -> Manifest:
    manifest = Manifest(content["version"], content["sha256"], content["size"], content["chunks"], record.offset)
    _must(
        all(type(number) is int for number in (manifest.version, manifest.size, manifest.chunks)), "integers expected"
    )
    _must(re.fullmatch("[0-9a-f]{64}", manifest.sha256) is not None, "sha256 is not 64 hex digits")
    _must(type(content["created_at"]) in (int, float), "created_at is no time")
    _must(1 <= manifest.chunks <= manifest.size, "chunks are from 1 to the size")
    return manifest


def _activation(content: Any, record: Record) -> Activation:
    sequence, version, effective_from_s = content["sequence"], content["version"], content["effective_from_s"]
    _must(type(content["author"]) is str, "author is no text")
    _must(type(sequence) is int and type(version) is int, "sequence and version must be integers")
    _must(
        type(effective_from_s) in (int, float) and math.isfinite(effective_from_s), "effective_from_s must be a number"
    )
    return Activation(sequence, version, float(effective_from_s), record.timestamp_ms / 1000, record.offset)


def _must(holds: bool, message: str) -> None:  # noqa: FBT001 - an assertion that survives -O
    if not holds:
        raise ValueError(message)


def valid_activations(models: Models, accepted: Container[int]) -> list[Activation]:
    """The activations that count, in the order of the topic.

    accepted: the versions whose release the workers take. An activation counts if its release is accepted and stood
    before it, its sequence is new, and it came at least the lead ahead; the first one holds from minus infinity.
    """
    valid: list[Activation] = []
    sequences: set[int] = set()
    for activation in models.activations:
        if activation.sequence in sequences:
            continue
        sequences.add(activation.sequence)
        release = models.manifests.get(activation.version)
        if release is None or release.offset > activation.offset or activation.version not in accepted:
            continue
        if not valid:
            valid.append(activation._replace(effective_from_s=-math.inf))
        elif activation.effective_from_s >= activation.stamped_s + LEAD_S:
            valid.append(activation)
    return valid


def in_force(valid: list[Activation], at_s: float) -> int | None:
    """The version of the highest sequence effective at Kafka timestamp *at_s*; None where there is none yet."""
    effective = [activation for activation in valid if activation.effective_from_s <= at_s]
    return max(effective, key=lambda activation: activation.sequence).version if effective else None


def ever_in_force(valid: list[Activation], at_s: float) -> set[int]:
    """Every version that was in force at *at_s* to a reader who knew only a beginning of the topic."""
    return {version for known in range(1, len(valid) + 1) if (version := in_force(valid[:known], at_s)) is not None}
