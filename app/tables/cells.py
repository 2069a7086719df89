"""What a cell of a delimited file says: a text, in which people write numbers, truth, dates and nothing at all."""

from __future__ import annotations

import math
import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.features.exact import parse_time_s
from app.features.values import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING_WORDS = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "?", "-"})
"""In small letters; they mean nothing is there, but only among numbers and booleans: a text is a text."""
BOOLS = {"true": True, "false": False, "t": True, "f": False, "yes": True, "no": False, "y": True, "n": False,
         "1": True, "0": False}  # fmt: skip
"""In small letters: what a cell of a `bool` feature may say."""

_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CODE = re.compile(r"0[0-9]+(?:\.[0-9]*)?")
_COMMA = re.compile(r"[+-]?[0-9]+(?:\.[0-9]{3})*,[0-9]+|[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?", re.DOTALL)
_DAY = re.compile(r"(?:[0-9]{4}[-/.][0-9]{1,2}(?:[-/.][0-9]{1,2})?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2}))"
                  r"(?:[T ,]+[0-9]{1,2}:.*)?", re.DOTALL)  # fmt: skip
_OF_NUMBERS = dict.fromkeys(map(ord, "0123456789+-.eE\n"))
_CODES = tuple(f"\n0{digit}" for digit in "0123456789")


class Kind(StrEnum):
    """What a value is, as far as itself can tell."""

    MISSING = "missing"
    MISSING_WORD = "a word for missing"
    INT = "whole numbers"
    FLOAT = "numbers"
    BOOL = "true and false"
    CODE = "digits with leading zeros"
    COMMA = "numbers with a comma"
    ISO_TIME = "times"
    DATE = "dates"
    TEXT = "texts"
    LIST = "lists"
    OTHER = "values that no feature can have"


def kind_of_cell(cell: str) -> Kind:
    """What the text *cell* says.

    >>> [kind_of_cell(cell).name for cell in ("", "12", "1e3", "007", "1,5", "NA", "True", "yes", "2024-02-30")]
    ['MISSING', 'INT', 'FLOAT', 'CODE', 'COMMA', 'MISSING_WORD', 'BOOL', 'TEXT', 'DATE']
    """
    text = cell.strip()
    if not text:
        return Kind.MISSING
    if text[0] in "0123456789+-.":
        if found := _kind_of_figures(text):
            return found
    elif text.lower() in ("true", "false"):
        return Kind.BOOL
    return Kind.MISSING_WORD if text.lower() in MISSING_WORDS else Kind.TEXT


def kind_of_json(value: Any) -> Kind:
    """What the JSON value is; a text that holds a number is a text, for so it will arrive.

    >>> [kind_of_json(value).name for value in (1, 1.5, True, "1", float("nan"), "2024-02-01T10:00Z", [1], {})]
    ['INT', 'FLOAT', 'BOOL', 'TEXT', 'MISSING', 'ISO_TIME', 'LIST', 'OTHER']
    """
    kind = type(value)
    if kind is str:
        if _DAY.fullmatch(value) or _ISO_DAY.fullmatch(value):
            return _kind_of_date(value)
        return Kind.TEXT if is_text(value) else Kind.OTHER
    if kind is float and not math.isfinite(value):
        return Kind.MISSING if math.isnan(value) else Kind.OTHER
    if value is None:
        return Kind.MISSING
    return {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT, list: Kind.LIST}.get(kind, Kind.OTHER)


def numbers_in(cells: Sequence[str]) -> tuple[list[float], bool] | None:
    """The numbers of *cells* without the empty ones, and whether all are whole; None if there is anything else.

    As `kind_of_cell` would have it cell by cell, at a tenth of the time.

    >>> numbers_in(["1", "", "2.5"]), numbers_in(["1", "2"]), numbers_in(["1", "007"]), numbers_in(["1", "nan"])
    (([1.0, 2.5], False), ([1.0, 2.0], True), None, None)
    """
    joined = "\n" + "\n".join(cells)
    if joined.translate(_OF_NUMBERS) or any(code in joined for code in _CODES):
        return None
    try:
        numbers = list(map(float, filter(None, cells) if "\n\n" in f"{joined}\n" else cells))
    except ValueError:  # "1-2", "e", or a number broken by a newline inside its cell
        return None
    is_whole = "." not in joined and "e" not in joined and "E" not in joined
    return (numbers, is_whole) if all(map(math.isfinite, numbers)) else None


def cell_value(dtype: str, cell: str) -> Any:
    """The JSON value of *cell* for a feature of *dtype*, None if it says that nothing is there.

    What is no such value stays the text that it is, so that whoever decodes it names it.

    >>> [cell_value(*each) for each in (("float", "1e3"), ("int", "5"), ("int", "5.0"), ("bool", "Yes"), ("int", "?"))]
    [1000.0, 5, 5.0, True, None]
    >>> [cell_value(*each) for each in (("string", "NA"), ("string", ""), ("float", "1,5"), ("bool", "perhaps"))]
    ['NA', None, '1,5', 'perhaps']
    """
    if dtype == "string":
        return cell or None
    text = cell.strip()
    if not text or text.lower() in MISSING_WORDS:
        return None
    if dtype == "bool":
        return BOOLS.get(text.lower(), cell)
    return number_of(text, cell)


def number_of(text: str, otherwise: Any) -> Any:
    """The number that *text* says, whole if it is written so, or else *otherwise*."""
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return otherwise


def _kind_of_figures(text: str) -> Kind | None:
    """What a text says that begins as numbers do; None if it is neither a number nor a date."""
    if _CODE.fullmatch(text):
        return Kind.CODE
    if _FLOAT.fullmatch(text):
        if not math.isfinite(float(text)):
            return Kind.TEXT
        return Kind.INT if _INT.fullmatch(text) else Kind.FLOAT
    if _COMMA.fullmatch(text):
        return Kind.COMMA
    return _kind_of_date(text) if _DAY.fullmatch(text) or _ISO_DAY.fullmatch(text) else None


def _kind_of_date(text: str) -> Kind:
    """A text that looks like a date: one that may be an event's time, one that may not, or a mere text."""
    if _ISO_DAY.fullmatch(text) and parse_time_s(text, "iso8601") is not None:
        return Kind.ISO_TIME
    if _DAY.fullmatch(text):
        return Kind.DATE
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return Kind.TEXT
    return Kind.DATE
