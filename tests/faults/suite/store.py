"""Results: one JSON object a line, appended when a run ends, so that the long run can be taken up again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from tests.workers import ROOT

JUDGED = ("app", "verify")
"""What a result is about: it stands for the commit that changed one of these last."""


class Result(msgspec.Struct, omit_defaults=True):
    """What came of one run."""

    case: str
    number: int
    seed: int
    mode: str
    commit: str
    """The last that changed the program or its judge; with `+` if they were changed since."""
    records: int
    """Feature records whose outcomes were verified."""
    labels: int
    copies: int
    """Outcomes beyond the first of a record."""
    took_s: float
    violations: list[str] = []
    recovery_s: float | None = None
    """From the end of the fault until all that stood on the features topic then was committed."""
    drain_s: float | None = None
    """Until everything was counted too."""
    scale: float = 1.0
    rss_mb: int = 0
    disk_mb: int = 0
    faults: list[str] = []
    notes: list[str] = []

    @property
    def key(self) -> tuple[str, int, str, str, float]:
        """What is not done twice."""
        return self.case, self.seed, self.mode, self.commit, self.scale

    def summary(self) -> str:
        """A line."""
        recovery = "-" if self.recovery_s is None else f"{self.recovery_s:.1f} s"
        verdict = "holds" if not self.violations else f"{len(self.violations)} VIOLATIONS"
        return (
            f"{verdict}: {self.records:,} records, {self.labels:,} labels, {self.copies:,} copies, "
            f"recovery {recovery}, {self.rss_mb} MB, {self.took_s:.0f} s"
        )


class Store:
    """The file of results."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Result]:
        """All results, the oldest first; of a run that was done again the last."""
        if not self._path.exists():
            return []
        found = [msgspec.json.decode(line, type=Result) for line in self._path.read_bytes().splitlines() if line]
        return list({result.key: result for result in found}.values())

    def append(self, result: Result) -> None:
        """Keep *result*; several runners may share a file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")


def commit() -> str:
    """The commit that results stand for."""
    last = _git("log", "-1", "--format=%h", "--", *JUDGED) or "unknown"
    return last + ("+" if _git("status", "--porcelain", "--", *JUDGED) else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607  the git on the PATH
    except OSError:
        return ""
    return done.stdout.strip()
