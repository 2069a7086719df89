"""docs/troubleshooting.md quotes messages that the program really gives."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = [*ROOT.glob("app/**/*.py"), *ROOT.glob("verify/**/*.py"), ROOT / "requirements" / "install.py"]
FEWEST_LETTERS = 12
"""Of its own, for a text of the code to count as a message."""
QUOTED = [
    line
    for block in re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def pieces(text: str) -> list[str]:
    """The words of a quoted message between its `...` and between the texts that it may be put together from."""
    found = (piece.strip(" .:;,()?") for piece in re.split(r"\.\.\.|: |; ", text))
    return [piece for piece in found if piece]


@cache
def messages() -> list[str]:
    """Every text in the code, what is filled in written as `...`; neighbouring pieces are one text, as for Python."""
    found = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[sdr]", "...", node.value))
    return found


def is_said(quoted: str) -> bool:
    """Whether texts of the code together say *quoted*: each of its longer pieces stands in one of them."""
    long = [piece for piece in pieces(quoted) if len(piece) >= FEWEST_LETTERS] or [max(pieces(quoted), key=len)]
    return all(any(piece in message for message in messages()) for piece in long)


@pytest.mark.parametrize("quoted", QUOTED)
def test_every_message_that_is_quoted_is_given(quoted):
    """A reader who searches the page for what the program said finds it word for word."""
    assert is_said(quoted)


def test_a_message_that_nobody_gives_is_found():
    """The check itself sees a wrong quotation."""
    assert not is_said("the moon is held back: version ... is made of cheese")
