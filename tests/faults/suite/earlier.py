"""An earlier version of the program, from the history, whose tables and local state this one must be able to read."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from tests.workers import ROOT

WRITERS = ("app/performance", "app/feedback", "app/transport/table.py", "app/topology/partition_desk.py")
"""Where rows and local state are made: a version is of interest if these were different."""
LAYOUT = {
    "app/performance/rows.py": r"^class .*?^def ",
    "app/performance/counters.py": r"^class Counters.*?^    def ",
    "app/feedback/ledger.py": r"^FORMAT = .*?$",
    "app/feedback/entry.py": r".*",
}
"""What says how rows and state are laid out. Versions that differ in it cannot follow each other without a plan."""


def earlier_program(folder: Path, *, root: Path = ROOT) -> tuple[Path | None, str]:
    """Put the program into *folder* as it was before the last change of `WRITERS`; where it is, and its commit.

    None, and why, if the history has none of the same layout.
    """
    changes = _git(root, "log", "-1", "--format=%h %p", "--", *WRITERS).decode().split()
    if len(changes) < 2:  # a commit and its parent
        return None, "the history does not go back to an earlier one"
    change, parent = changes[:2]
    for path in LAYOUT:
        if _layout(path, _git(root, "show", f"{parent}:{path}")) != _layout(path, (root / path).read_bytes()):
            return None, f"{change} has changed the layout in {path}"
    archive = _git(root, "archive", parent, "app")
    if not archive:
        return None, f"{parent} is not in the history"
    code = folder / "earlier"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(code, filter="data")
    return code, f"{parent}, before {change}"


def _layout(path: str, content: bytes) -> list[str]:
    return re.findall(LAYOUT[path], content.decode(), re.MULTILINE | re.DOTALL)


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False).stdout  # noqa: S607
