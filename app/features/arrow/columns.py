"""Values of arrays: as numpy arrays by the column, texts as Python strings, and one by one as JSON would have them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.features.arrow.arrays import raw_at, raw_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features.arrow.arrays import Array, Bools


class Values(NamedTuple):
    """The values of a column; those that are null mean nothing."""

    values: Any
    """Numbers, times and booleans: an array of shape (n,). Texts: a list of str."""
    valid: Bools | None
    """Which are there; None for all."""


class Ticks(NamedTuple):
    """A timestamp as its column has it."""

    n: int
    per_s: int

    def __repr__(self) -> str:
        return f"{self.n} ticks of 1/{self.per_s} s"


def values_of(array: Array) -> Values:
    """The values of *array*, which has numbers, booleans, times or texts, in a dictionary or not."""
    if array.column.kind == "dictionary":
        return _looked_up(array)
    if array.column.kind in ("text", "view"):
        return Values(_texts(array), array.valid)
    return Values(array.values, array.valid)


def _looked_up(array: Array) -> Values:
    of_dictionary = values_of(array.children[0])
    known: Any = of_dictionary.values
    if isinstance(known, list):
        known = np.array([*known, ""], object)[:-1]  # as objects, however many there are
    valid, indices = array.valid, array.values
    if valid is not None:
        indices = np.where(valid, indices, 0)
    if not len(known):
        return Values(np.zeros(array.length, np.int64).astype(known.dtype), np.zeros(array.length, np.bool_))
    if of_dictionary.valid is not None:
        known_valid = of_dictionary.valid[indices]
        valid = known_valid if valid is None else valid & known_valid
    found = known[indices]
    return Values(found.tolist() if found.dtype == object else found, valid)


def _texts(array: Array) -> list[str]:
    """The texts of *array*; what is null is whatever stands there, or empty."""
    if array.column.kind == "text" and array.data.isascii():
        whole, bounds = array.data.decode(), array.values.tolist()
        return [whole[begin:end] for begin, end in pairwise(bounds)]
    return ["" if raw is None else raw.decode() for raw in raw_bytes(array)]


def floats_of(array: Array, width: int) -> tuple[npt.NDArray[Any], Bools | None, Bools]:
    """Of lists of *width* numbers: the numbers, shape (n, width), which are there, and which rows have another length.

    A row of another length, or one that is null, has NaN that means nothing.
    """
    inner, n = values_of(array.children[0]), array.length
    numbers = np.zeros(0) if array.children[0].column.kind == "null" else inner.values
    if array.column.kind == "fixed_list":
        numbers = numbers if len(numbers) else np.full(n * width, np.nan)
        there = None if inner.valid is None else np.array(inner.valid[: n * width]).reshape(n, width)
        return numbers.reshape(n, width), there, np.zeros(n, np.bool_)
    offsets = array.values.astype(np.int64)
    good = offsets[1:] - offsets[:-1] == width
    wanted = offsets[:-1][good, None] + np.arange(width)
    taken = np.full((n, width), np.nan, np.float64)
    if len(numbers):
        taken[good] = numbers[wanted]
    there = None
    if inner.valid is not None:
        there = np.ones((n, width), np.bool_)
        there[good] = inner.valid[wanted]
    return taken, there, ~good


def item(array: Array, at: int) -> Any:  # noqa: PLR0911 - a line for each kind
    """The value at *at* as JSON would have it: a number, text, boolean, list, None for null; Ticks for a timestamp."""
    if array.valid is not None and not array.valid[at]:
        return None
    column = array.column
    match column.kind:
        case "int" | "float" | "bool":
            return array.values[at].item()
        case "time":
            return Ticks(int(array.values[at]), column.size)
        case "text" | "view":
            return raw_at(array, at).decode()
        case "dictionary":
            return item(array.children[0], int(array.values[at]))
        case "fixed_list":
            return [item(array.children[0], each) for each in range(at * column.size, (at + 1) * column.size)]
        case "list":
            return [item(array.children[0], each) for each in range(int(array.values[at]), int(array.values[at + 1]))]
        case _:
            raise TypeError(f"{column.name}: no contract reads {column.shown}")
