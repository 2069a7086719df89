"""The Makefile is the project's door: what it offers is described, and what the docs name exists."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)
PAGES = sorted(
    page
    for page in [ROOT / "README.md", ROOT / ".ci" / "run", *ROOT.glob("docs/**/*.md"), *ROOT.glob("app/**/*.py")]
    if page.exists()
)


def commands(text: str) -> list[str]:
    """The targets of the `make` commands that stand in code of *text*: in backticks, in code blocks, in scripts."""
    return re.findall(r"(?:`|^\s*(?:\$ )?)make ([a-z][a-z-]*)", text, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_described(target: str) -> None:
    """A target without a `##` comment would be missing from `make help`."""
    assert re.search(rf"^{target}:.*  ## \S", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_phony(target: str) -> None:
    """A file that happens to be called like a target must not switch the target off."""
    assert f".PHONY: {target}\n{target}:" in MAKEFILE


def test_help_is_the_default_and_lists_every_target() -> None:
    """A bare `make` prints the list, needs no environment, and changes nothing."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE")
    }  # `make test` runs this
    shown = subprocess.run(["make"], cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout  # noqa: S607  # the make on the PATH is the one meant

    assert [line.split()[0] for line in shown.splitlines()[1:]] == TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_command_that_is_written_down_exists(page: Path) -> None:
    """Nobody is told to run a target that is not there."""
    assert set(commands(page.read_text())) <= set(TARGETS)


def test_readme_shows_the_two_commands() -> None:
    """A newcomer finds the demo and the tests in the README."""
    assert {"demo", "test"} <= set(commands((ROOT / "README.md").read_text()))


def test_ci_runs_what_the_readme_tells_people_to_run() -> None:
    """The gate is no stricter and no laxer than what a newcomer can run; pytest's closing line is the last."""
    assert commands((ROOT / ".ci" / "run").read_text()) == ["lint", "bench-guard", "test"]
