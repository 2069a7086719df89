"""What a run of the demo was asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
STEADY_RATE = 100.0
"""Events a second in which a person can still follow what happens."""
LOAD_FROM_RATE = 1_000.0
"""From this rate on records are sent in batches by a process of their own."""
SWAP_AFTER_S = 20.0


@dataclass(frozen=True)
class Options:
    """What was asked for; what was left open is decided here.

    seconds: how long the intake lasts; None = until Ctrl-C.
    rate: feature records a second.
    labels, verify: None = as fits the rate: labels and a verdict in the steady mode, neither under load.
    """

    seconds: float | None = None
    json_path: Path | None = None
    rate: float = STEADY_RATE
    asked_labels: bool | None = None
    asked_verify: bool | None = None
    picture_path: Path | None = None
    partitions: int = 4
    models_dir: Path = PROJECT / "models"

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.seconds is not None and self.seconds <= 0:
            raise ConfigurationError(f"--seconds {self.seconds:g}: must be above 0, for example --seconds 60")
        if self.rate <= 0:
            raise ConfigurationError(f"--rate {self.rate:g}: must be above 0, for example --rate 20000")
        for path in (self.json_path, self.picture_path):
            if path is not None and not path.absolute().parent.is_dir():
                raise ConfigurationError(f"{path}: its folder does not exist; make it, or name another file")

    @property
    def is_load(self) -> bool:
        """Whether this is the high-rate mode."""
        return self.rate >= LOAD_FROM_RATE

    @property
    def labels(self) -> bool:
        """Whether labels are sent."""
        return not self.is_load if self.asked_labels is None else self.asked_labels

    @property
    def verify(self) -> bool:
        """Whether the verifier judges the run at its end."""
        return not self.is_load if self.asked_verify is None else self.asked_verify

    @property
    def swap_after_s(self) -> float:
        """When the second version is published, in seconds since the first record: a third of the run, at most 20."""
        return SWAP_AFTER_S if self.seconds is None else min(SWAP_AFTER_S, self.seconds / 3)

    def release(self, version: int) -> Path:
        """The file of a released model of the demo."""
        return self.models_dir / "fraud" / "releases" / f"{version}.onnx"
