"""What a check found, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How it stands with a thing that was checked."""

    OK = "ok"
    WARNING = "warning"
    """It works, or could not be judged; someone should look at it."""
    PROBLEM = "problem"
    """It does not work until someone acts."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    """`broker`, `topics`, `partitions` or `labels`."""
    level: Level
    text: str
    pipeline: str | None = None
    fix: str | None = None
    """What to do; None where there is nothing to be done."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The numbers and examples behind it, as JSON values."""

    def as_json(self) -> dict[str, Any]:
        """The finding for programs; what is absent is omitted."""
        said = {
            "check": self.check,
            "level": self.level.value,
            "pipeline": self.pipeline,
            "text": self.text,
            "fix": self.fix,
            "details": dict(self.details) or None,
        }
        return {name: value for name, value in said.items() if value is not None}
