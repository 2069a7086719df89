"""What many tests make: contracts without a file, records as a consumer hands them over, the checker's predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.features import Contract
from app.records import topics_of
from verify.outcomes import Prediction, Source


@dataclass
class Given:
    """A record as the consumer hands it over."""

    value: bytes | None
    offset: int = 7
    timestamp: int = 1_700_000_000_250
    topic: str = "p.predictions"
    partition: int = 3
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def a_contract(task="binary", classes=("no", "yes"), *, name="p", **changes):
    """A keyed contract with a horizon of 10 s and windows of a minute; *changes* to its fields.

    Positive is the last class of a binary one.
    """
    fields = {
        "positive": classes[-1] if task == "binary" else None,
        "threshold": 0.5,
        "topics": topics_of(name),
        "id_path": ("id",),
        "key_path": None,
        "event_time_path": None,
        "event_time_format": None,
        "label_horizon_s": 10.0,
        "join": "keyed",
        "windows_s": (60,),
        "features": (),
    }
    return Contract(name=name, task=task, classes=classes, **fields | changes)


def a_prediction(offset, id_, event_at, *, source=None, timestamp_s=None, **changes):
    """A prediction as the checker reads it; *changes* to its fields.

    source: the offset of its event, its own unless given; timestamp_s: its own time, the event's unless given.
    """
    fields = {
        "create_time": True,
        "key": None,
        "sha256": None,
        "version": 1,
        "prediction": "yes",
        "score": 0.5,
        "scores": None,
        "scored_at": None,
        "model": "p",
    }
    return Prediction(
        offset=offset,
        timestamp_ms=int((event_at if timestamp_s is None else timestamp_s) * 1000),
        source=Source("p.features", 0, offset if source is None else source),
        id=id_,
        event_at=float(event_at),
        **fields | changes,
    )
