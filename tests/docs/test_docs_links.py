"""Links inside the documentation lead somewhere, and what it names beside a link is there."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("models/**/*.md")]
)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


@cache
def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[str, Path, str]]:
    """Text, file and anchor of each link of *page* that stays inside the project."""
    found = []
    for text, target in LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            found.append((text, (page.parent / path).resolve() if path else page, anchor))
    return found


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of the headings of *page*, as code hosts make them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    return frozenset(anchor_of(heading) for heading in headings)


def anchor_of(heading: str) -> str:
    """The anchor of a heading: small letters, hyphens for blanks, no punctuation.

    >>> anchor_of("`/readyz` says 503")
    'readyz-says-503'
    """
    kept = (c for c in heading.lower() if c in "-_ " or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_resolve(page):
    """Each leads to a file that is there, and an anchor to a heading."""
    for text, path, anchor in links(page):
        assert path.exists(), f"[{text}]: there is no {path}"
        assert not anchor or anchor in anchors(path), f"[{text}]: {path.name} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_a_link_names_are_in_its_file(page):
    """A promise that names its test cannot outlive it."""
    named = [(text.strip("`"), path) for text, path, _ in links(page) if text.startswith("`test_")]
    for name, path in named:
        assert f"def {name}(" in path.read_text(encoding="utf-8"), f"{path.name} has no {name}"


def test_every_page_can_be_reached_from_the_readme():
    """Nothing is documented where nobody finds it."""
    reached: set[Path] = set()
    to_read = [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            to_read += [path for _, path, _ in links(page)]

    assert set(ROOT.glob("docs/**/*.md")) <= reached
