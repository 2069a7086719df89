"""Data go to standard output, talk to standard error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def print_json(value: Any) -> None:
    """*value* as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """*rows* in aligned columns under their names; what a row lacks stays blank."""
    lines = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say(text: str) -> None:
    """Talk: what happens, for people."""
    typer.echo(text, err=True)


def when(at_s: float) -> str:
    """A point in time, in UTC, for people.

    >>> when(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    try:
        return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(at_s)


def printable(text: str) -> str:
    r"""*text* without what a terminal would obey: records hold what strangers wrote.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )


def _cell(value: Any) -> str:
    return "" if value is None else printable(str(value)).replace("\n", " ")
