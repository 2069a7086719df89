"""What results stand for: the program, its judge and the suite as they are now, and apart from them the file of a case.

A result counts for as long as neither changes; a change of one case has only that one run again, and one of the
documentation none.
"""

from __future__ import annotations

import hashlib
import inspect
import subprocess
from functools import cache
from pathlib import Path

from tests.faults.suite.registry import Case
from tests.workers import ROOT

CASES = "tests/faults/suite/cases"
JUDGED = (
    "app", "verify", "tests/faults/suite", "tests/proxy.py", "tests/proxy_lines.py", "tests/kafka_frames.py",
    "tests/workers.py", "tests/programs.py", "pyproject.toml", "requirements",
)  # fmt: skip
BESIDE = ("tests/faults/suite/table.py",)
"""Of these no result depends on."""
DIGITS = 8


def code_key(root: Path = ROOT) -> str:
    """The commit that changed what is judged last, and `+` with a digest of what was changed since."""
    paths = ["--", *JUDGED, *(f":(exclude){path}" for path in (CASES, *BESIDE))]
    commit = _git(root, "log", "-1", "--format=%h", *paths).decode().strip() or "unknown"
    changes = _git(root, "diff", "HEAD", "--binary", *paths)
    for name in sorted(_git(root, "ls-files", "-z", "--others", "--exclude-standard", *paths).split(b"\0")):
        changes += name + (root / name.decode()).read_bytes() if name else b""
    return commit + (f"+{_digest(changes)}" if changes else "")


def case_key(case: Case) -> str:
    """A digest of the file that the case is in, as it was when it was first asked for: that is the code that runs."""
    return _file_key(inspect.getfile(case.function))


@cache
def _file_key(path: str) -> str:
    return _digest(Path(path).read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _git(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S607  the git on the PATH
    except OSError:
        return b""
    return done.stdout
