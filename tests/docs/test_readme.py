"""The README keeps its promises: two commands, a picture, a table of guarantees with proof, commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.settings import ENV_PREFIX, Settings
from app.web.queries import PARAMETERS
from app.web.server import ENDPOINTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"make", "faust-onnx", "export", "curl", "python"}


def console(text: str) -> list[str]:
    """The lines that one is to type, from all console blocks of *text*."""
    return [line for block in BLOCK.findall(text) for line in block.splitlines()]


TYPED = [(page, line) for page in PAGES for line in console(page.read_text(encoding="utf-8"))]


def rows(text: str) -> list[list[str]]:
    """The cells of the table under the heading on guarantees."""
    section = text.partition("\n## What is guaranteed, and what is not yet\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_first_thing_to_type_is_the_demo_and_the_tests():
    """A stranger sees the two commands without scrolling, after at most two paragraphs."""
    assert BLOCK.findall(README)[0].splitlines() == ["$ make demo", "$ make test"]
    assert README[: README.index("$ make test")].count("\n") < 20


def test_what_decides_about_a_change_runs_the_same_tests():
    """`make test` of the README is the `make test` of .ci/run, with no argument."""
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_picture_is_a_view_of_the_demo():
    """It is a file of the project, made from the real view."""
    (picture,) = re.findall(r"^!\[[^\]]*\]\(([^)]+)\)", README, re.MULTILINE)
    drawn = (ROOT / picture).read_text(encoding="utf-8")

    assert drawn.startswith("<svg")
    for word in ("events&#160;in", "dead&#160;letters", "latency&#160;p99", "models"):
        assert word in drawn


def test_each_promise_names_its_test_or_that_it_is_not_built():
    """Nothing is claimed without proof, and what is missing is said."""
    table = rows(README)
    proven = [row for row in table if re.search(r"\[`test_\w+`\]\(tests/[a-z_/]+\.py\)", row[1])]
    missing = [row for row in table if row[1].startswith("not built yet")]

    assert len(proven) + len(missing) == len(table)
    for promise in ("Exactly once", "Fencing"):
        assert any(f"**{promise}**" in row[0] for row in proven), promise
    for promise in ("Signed models", "TLS and SASL"):
        assert any(f"**{promise}**" in row[0] for row in missing), promise


@pytest.mark.parametrize(("page", "line"), TYPED, ids=[f"{page.name}:{line}" for page, line in TYPED])
def test_what_is_to_be_typed_can_be_typed(page, line):
    """A prompt, a program that one has, variables that are settings, addresses that answer."""
    assert line.startswith("$ "), f"{page.name}: a console block holds what is typed, each line after `$ `"
    words = shlex.split(line[2:])
    assert words[0] in PROGRAMS
    if words[0] == "export":
        names = {word.partition("=")[0] for word in words[1:]}
        assert names <= {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {"PATH"}
    if words[0] == "curl":
        url = urlsplit(words[-1])
        assert url.path in ENDPOINTS
        assert {name for name, _ in parse_qsl(url.query)} <= set(PARAMETERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_variables_that_are_named_are_settings(page):
    """Nobody is told to set what is not read."""
    named = set(re.findall(rf"\b{ENV_PREFIX}[A-Z0-9_]*[A-Z0-9]", page.read_text(encoding="utf-8")))
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    # What Kubernetes adds for a service of our name is named in settings.md as what is left alone.
    foreign = {f"{ENV_PREFIX}SERVICE_HOST", f"{ENV_PREFIX}PORT"} if page.name == "settings.md" else set()

    assert named - foreign <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_of_the_verifier_that_are_named_exist(page):
    """`faust-onnx verify` hands its flags on, so its own help does not know them."""
    source = (ROOT / "verify" / "__main__.py").read_text(encoding="utf-8")
    typed = re.findall(r"faust-onnx verify([^`\n]*)", page.read_text(encoding="utf-8"))
    for flag in re.findall(r"--[a-z-]+", " ".join(typed)):
        assert f'"{flag}"' in source
