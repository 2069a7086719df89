"""The `faust-onnx` commands that the docs and the Makefile tell people to type exist, with the flags they are given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "Makefile", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMAND = re.compile(r"(?:`|^\s*(?:[$@] ?)?)(?:\w+=\S+ )*(?:\S*/)?faust-onnx ((?:[a-z-]|\[|\()[^`\n#]*)", re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The words after `faust-onnx` of each command in the code of *text*, brackets of the optional dropped.

    >>> commands("run `faust-onnx model publish FILE [--activate]`")
    [['model', 'publish', 'FILE', '--activate']]
    """
    return [re.sub(r"[\[\]()]", " ", found).split() for found in COMMAND.findall(text)]


def faults(words: list[str]) -> list[str]:
    """What of *words* the program does not know: commands, or flags of the command."""
    current: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(current, "commands") and rest and not rest[0].startswith("-"):
        names = rest.pop(0).rstrip(".,").split("|")
        unknown = [name for name in names if name not in current.commands]
        if unknown:
            return unknown
        current = current.commands[names[0]]
    if current.ignore_unknown_options or current.context_settings.get("ignore_unknown_options"):
        return []
    known = {flag for parameter in current.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    flags = [word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)]
    return [flag for flag in flags if flag not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_written_down_exists(page: Path) -> None:
    """Nobody is told to type what the program does not understand."""
    wrong = {" ".join(words): found for words in commands(page.read_text()) if (found := faults(words))}

    assert not wrong


@pytest.mark.parametrize(
    "line",
    ["faust-onnx train", "faust-onnx model burn", "faust-onnx topics list --colour", "faust-onnx model list|burn"],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    """The check itself sees a wrong command, subcommand or flag."""
    (words,) = commands(f"    {line}\n")

    assert faults(words)
