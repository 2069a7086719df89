"""Results: one JSON object a line, appended when a run ends, so that the long run can be taken up again."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Result(msgspec.Struct, omit_defaults=True):
    """What came of one run."""

    case: str
    number: int
    seed: int
    mode: str
    commit: str
    """The program and its judge, as `code_key` names them."""
    records: int
    """Feature records whose outcomes were verified."""
    labels: int
    copies: int
    """Outcomes beyond the first of a record."""
    took_s: float
    case_key: str = ""
    """The file of the case, as `case_key` names it."""
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
    def run(self) -> tuple[str, int, str]:
        """Which run it is of."""
        return self.case, self.seed, self.mode

    @property
    def key(self) -> tuple[str, int, str, str, str, float]:
        """What is not done twice."""
        return *self.run, self.commit, self.case_key, self.scale

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

    @property
    def size(self) -> int:
        """Bytes of the file: what is appended from now on lies beyond."""
        return self._path.stat().st_size if self._path.exists() else 0

    def read(self, *, since: int = 0) -> list[Result]:
        """All results from that byte on, the oldest first; of a run that was done again the last.

        A line that was cut short when its writer was killed is none: its run is done again.
        """
        if not self._path.exists():
            return []
        found = [result for line in self._path.read_bytes()[since:].splitlines() if (result := _decoded(line))]
        return list({result.key: result for result in found}.values())

    def append(self, result: Result) -> None:
        """Keep *result*; several runners may share a file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            size = file.tell()
            file.seek(max(0, size - 1))
            torn = size > 0 and file.read(1) != b"\n"
            file.write(b"\n" * torn + msgspec.json.encode(result) + b"\n")


def _decoded(line: bytes) -> Result | None:
    try:
        return msgspec.json.decode(line, type=Result)
    except msgspec.DecodeError:
        return None
