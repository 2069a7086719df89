"""The public records: what stands on the topics of a pipeline, for this program and for other people's.

Absent means omitted, never null; times are epoch seconds; unknown fields are ignored; headers are ASCII text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

ClassValue = str | int | float | bool
"""A class as the contract names it, or a number for regression."""


class Record(Protocol):
    """A record as the consumer hands it over (aiokafka's ConsumerRecord has this shape)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Kafka timestamp in milliseconds."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class OutRecord(NamedTuple):
    """A record to be published; the partition is that of the batch it came from."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes]]


class Prediction(msgspec.Struct, omit_defaults=True, gc=False):
    """One scored event. Its identity is the source coordinates in its headers; `id` is the join key."""

    id: str
    version: int
    prediction: ClassValue
    event_at: float
    model: str | None = None
    score: float | None = None
    scores: list[float] | None = None
    scored_at: float | None = None


class Label(msgspec.Struct, omit_defaults=True):
    """The truth about an event, known later; `at` defaults to the record's timestamp."""

    id: str
    label: Any
    at: float | None = None


class Manifest(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A release on the `models` topic, under key `release/<version>`; its bytes are on `model-bytes`."""

    pipeline: str
    version: int
    sha256: str
    size: int
    """Bytes of the whole model."""
    chunks: int
    created_at: float
    contract_sha256: str | None = None
    """Digest of what the model depends on in the contract: task, classes, features."""
    first_chunk_offset: int | None = None
    """Where on `model-bytes` to begin to look; a hint, since a copied topic has other offsets."""
    author: str | None = None
    note: str | None = None


class Activation(msgspec.Struct, omit_defaults=True, kw_only=True):
    """From which point of the stream a version is in force, under key `activation/<sequence>`.

    `effective_from_s` is compared with the Kafka timestamp of the feature record.
    """

    sequence: int
    version: int
    effective_from_s: float
    author: str


class ModelEvent(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a worker did with a release, on `model-events` under the pipeline's name."""

    event: str
    """`accepted`, `refused`, `activated` or `ignored` (an activation that is not valid)."""
    pipeline: str
    at: float
    worker: str
    version: int | None = None
    sequence: int | None = None
    reason: str | None = None
    error: str | None = None


class Positions(msgspec.Struct):
    """How far two topics of a partition were consumed: the next offset of each, 0 for none."""

    predictions: int = 0
    labels: int = 0


class Topics(NamedTuple):
    """The names of a pipeline's topics."""

    features: str
    labels: str
    predictions: str
    models: str
    model_bytes: str
    model_events: str
    performance: str
    dead_letters: str
    ledger: str
    """Predictions and labels by their id; there is such a topic only where the contract says `join = "by-id"`."""


def topics_of(pipeline: str, *, features: str | None = None, labels: str | None = None) -> Topics:
    """The topic names of *pipeline*; *features* and *labels* are the two that a contract may rename.

    >>> topics_of("fraud", features="payments").model_bytes
    'fraud.model-bytes'
    """
    return Topics(
        features=features or f"{pipeline}.features",
        labels=labels or f"{pipeline}.labels",
        predictions=f"{pipeline}.predictions",
        models=f"{pipeline}.models",
        model_bytes=f"{pipeline}.model-bytes",
        model_events=f"{pipeline}.model-events",
        performance=f"{pipeline}.performance",
        dead_letters=f"{pipeline}.dead-letters",
        ledger=f"{pipeline}.ledger",
    )
