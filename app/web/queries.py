"""The parameters of `/api/performance`, or a clear word on what is wrong with them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from app.web.times import EXAMPLE as TIME_EXAMPLE
from app.web.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.web.service import PerformanceSource

PARAMETERS = ("pipeline", "version", "window", "from", "to")


class QueryError(ValueError):
    """A parameter is wrong: *parameter* names it, *example* is a valid value."""

    def __init__(self, parameter: str, message: str, example: str) -> None:
        super().__init__(message)
        self.parameter, self.example = parameter, example


class PerformanceQuery(NamedTuple):
    """What was asked for; None where nothing was said."""

    pipeline: str | None
    version: int | None
    window: int | None
    from_s: float | None
    to_s: float | None


def parse_performance_query(pairs: Iterable[tuple[str, str]]) -> PerformanceQuery:
    """The query in *pairs* of name and value; an empty value counts as not given.

    Raises QueryError on an unknown or repeated name and on a value that is not of its kind.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PARAMETERS)}"
            raise QueryError(name, f"unknown parameter; {hint}", "?pipeline=fraud&window=3600")
        if name in given:
            raise QueryError(name, "given more than once", f"?{name}=...")
        if value.strip():
            given[name] = value.strip()
    from_s, to_s = _time(given, "from"), _time(given, "to")
    if from_s is not None and to_s is not None and from_s > to_s:
        raise QueryError("from", "must not be later than `to`", "from=1767225600&to=1767229200")
    return PerformanceQuery(
        given.get("pipeline"), _positive(given, "version", "2"), _positive(given, "window", "3600"), from_s, to_s
    )


def chosen_pipeline(asked: str | None, served: Sequence[str]) -> str:
    """The pipeline that was asked for; the only one when none was named. Raises QueryError when that is not clear."""
    if asked:
        return asked
    if len(served) == 1:
        return served[0]
    raise QueryError("pipeline", "must name a pipeline", served[0] if served else "fraud")


def answer(source: PerformanceSource, asked: PerformanceQuery) -> Mapping[str, Any]:
    """What *source* says to what was asked. Raises QueryError when the contract has no such window."""
    try:
        return source.query(version=asked.version, window_s=asked.window, from_s=asked.from_s, to_s=asked.to_s)
    except ValueError as fault:
        if asked.window is None:
            raise
        raise QueryError("window", str(fault), str(source.query()["window_s"])) from None


def _positive(given: dict[str, str], name: str, example: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) == 0:  # noqa: PLR2004  # any JSON reader holds 15 digits
        raise QueryError(name, "must be a whole number of at least 1", example)
    return int(text)


def _time(given: dict[str, str], name: str) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise QueryError(name, "must be epoch seconds or ISO 8601", TIME_EXAMPLE) from None
