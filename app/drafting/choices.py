"""What the user said, and the columns that it names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.features.contract import FieldPath, Task


class Choices(NamedTuple):
    """What was said of a pipeline; None where nothing was."""

    pipeline: str
    label: FieldPath | None = None
    task: Task | None = None
    positive: str | None = None
    classes: tuple[str, ...] | None = None
    """Where no label can be looked at."""
    id: FieldPath | None = None
    key: FieldPath | None = None
    time: FieldPath | None = None
    topic: str | None = None
    """The features topic that exists already."""
    labels_topic: str | None = None


def dotted(path: FieldPath) -> str:
    """A path as people write it."""
    return ".".join(path)


def find_column(flag: str, name: str, columns: Iterable[FieldPath], where: str) -> FieldPath:
    """The path of the column *name*, which *flag* was given; ConfigurationError with the nearest if there is none.

    >>> find_column("--label", "tx.amount", [("id",), ("tx", "amount")], "payments")
    ('tx', 'amount')
    """
    paths = {dotted(path): path for path in columns}
    if name in paths:
        return paths[name]
    lower = {each.lower().strip(): each for each in paths}
    near = lower.get(name.lower().strip()) or next(iter(get_close_matches(name, paths, n=1)), None)
    if near is not None:
        hint = f'did you mean "{near}"?'
    else:
        shown = list(paths)[:20]
        hint = f"there are {', '.join(shown)}" + (f" and {len(paths) - len(shown)} more" if len(paths) > 20 else "")  # noqa: PLR2004
        if all(each.replace(".", "").strip().isdigit() for each in paths):
            hint += "; if the first line is a row like the others, say --no-header"
        if len(paths) == 1:
            hint += "; if its cells are separated by another character, say --delimiter"
    raise ConfigurationError(f'{flag} {name}: no column "{name}" in {where}; {hint}')
