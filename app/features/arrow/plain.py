"""The check of a whole column at once: values are put in place, and rows that are not plainly good are noted.

As in JSON a doubtful row is judged again by itself (`exact`), which says what is wrong with it or that it is good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.features.arrow.columns import floats_of, values_of
from app.features.arrow.rows import DTYPES, filler_of
from app.features.exact import ID_MAX_CHARS, LATEST_S, TIME_UNITS_PER_S, parse_time_s
from app.features.values import INT64_MAX

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features.arrow.arrays import Array, Bools
    from app.features.arrow.binding import Binding
    from app.features.arrow.rows import Block
    from app.features.arrow.stream import Batch
    from app.features.contract import Feature

_INT64_REACH = 2.0**63
"""The first float that is no int64 any more."""


def put_runs(batch: Batch, binding: Binding, block: Block, doubtful: Bools) -> set[int]:
    """Put in the floats that can be taken together; the positions of their features."""
    done: set[int] = set()
    for run in binding.runs:
        matrix = batch.columns.matrix(run.column, run.n, run.dtype)
        if matrix is None:
            continue
        out = block[:, run.place : run.place + run.n]
        out[:] = matrix.T
        # Doubles are compared before they are rounded; all others are in the block what they were.
        seen = matrix.T if run.dtype.itemsize > block.itemsize else out
        if run.low is not None:
            doubtful |= np.any(seen < run.low, axis=1)
        if run.high is not None:
            doubtful |= np.any(seen > run.high, axis=1)
        done.update(run.features)
    return done


def put_floats(feature: Feature, array: Array, out: Block, doubtful: Bools) -> None:
    """Put the numbers of *feature* into *out*, shape (n, width); whether they are finite is asked of all at once.

    What is missing and may not be becomes NaN, which is seen then.
    """
    if feature.dtype == "vector":
        numbers, there, odd = floats_of(array, feature.width)
    else:
        numbers, valid = values_of(array)
        numbers, there, odd = numbers.reshape(-1, 1), None if valid is None else valid.reshape(-1, 1), None
    if numbers.dtype.kind in "iu":
        numbers = numbers.astype(np.float64)  # as JSON's numbers come
    out[:] = numbers
    if feature.low is not None or feature.high is not None:
        outside = _outside(feature, numbers)
        odd = _or(odd, np.any(outside if there is None else outside & there, axis=1))
    if there is not None:
        filler = np.broadcast_to(np.asarray(filler_of(feature), np.float64), out.shape)
        np.copyto(out, filler, where=~there, casting="same_kind")
    if feature.dtype == "vector" and array.valid is not None:
        out[~array.valid] = filler_of(feature)
        odd = None if odd is None else odd & array.valid
    if odd is not None:
        doubtful |= odd


def put_other(feature: Feature, array: Array, doubtful: Bools) -> npt.NDArray[Any]:
    """The values of an int, bool or string, shape (n,), with what is missing filled in."""
    values, valid = values_of(array)
    if feature.dtype == "string":
        put, odd = _strings(feature, values)
    elif feature.dtype == "int":
        put, odd = _integers(feature, values)
    else:
        put, odd = values, None
    if valid is not None:
        put = put.copy()
        put[~valid] = filler_of(feature)
        odd = (None if odd is None else odd & valid) if feature.missing != "reject" else _or(odd, ~valid)
    if odd is not None:
        doubtful |= odd
    return put


def absent_other(feature: Feature, n: int) -> npt.NDArray[Any]:
    """What *n* rows without a column of *feature* have."""
    return np.full(n, filler_of(feature), DTYPES[feature.dtype])


def _strings(feature: Feature, texts: list[str]) -> tuple[npt.NDArray[Any], Bools | None]:
    put = np.empty(len(texts), object)
    put[:] = texts
    if feature.categories is None:
        return put, None
    known = frozenset(feature.categories)
    return put, np.fromiter((text not in known for text in texts), np.bool_, len(texts))


def _integers(feature: Feature, numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Bools | None]:
    """As int64, and which are no integers of 64 bits or none of the contract's."""
    odd = None
    if numbers.dtype.kind == "f":
        whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < _INT64_REACH)
        odd = ~whole
        numbers = np.where(whole, numbers, 0)
    elif numbers.dtype == np.uint64:
        odd = numbers > INT64_MAX
    put = numbers.astype(np.int64)
    if feature.low is not None:
        odd = _or(odd, put < feature.low)
    if feature.high is not None:
        odd = _or(odd, put > feature.high)
    if feature.categories is not None:
        odd = _or(odd, ~np.isin(put, np.array(feature.categories, np.int64)))
    return put, odd


def ids_of(array: Array, doubtful: Bools) -> list[str]:
    """The ids of all rows as texts."""
    values, valid = values_of(array)
    if isinstance(values, list):
        if array.column.kind == "text":
            lengths = (
                array.values[1:] - array.values[:-1]
            )  # in bytes: what has too many characters has too many of them
        else:
            lengths = np.fromiter(map(len, values), np.int64, len(values))
        doubtful |= (lengths == 0) | (lengths > ID_MAX_CHARS)
    else:
        values = list(map(str, values.tolist()))
    if valid is not None:
        doubtful |= ~valid
    return values


def check_keys(array: Array, key: bytes, doubtful: Bools) -> None:
    """Note the rows whose key is not that of their record."""
    doubtful |= np.fromiter((text.encode() != key for text in ids_of(array, doubtful)), np.bool_, array.length)


def times_of(array: Array, time_format: str, doubtful: Bools) -> list[float]:
    """Epoch seconds of all rows."""
    values, valid = values_of(array)
    if isinstance(values, list):
        times: Any = [parse_time_s(text, time_format) for text in values]
        times_s = np.array([np.nan if each is None else each for each in times], np.float64)
    else:
        column = array.column.values or array.column
        per_s = column.size if column.kind == "time" else TIME_UNITS_PER_S[time_format]
        times_s = values.astype(np.float64) / per_s
    odd = ~((times_s >= 0) & (times_s < LATEST_S))
    doubtful |= odd if valid is None else odd | ~valid
    return list(times_s.tolist())


def _or(one: Bools | None, other: Bools) -> Bools:
    return other if one is None else one | other


def _outside(feature: Feature, numbers: npt.NDArray[Any]) -> Bools:
    """Which numbers lie outside the range of *feature*; compared as float64, so that a bound is what it says."""
    outside = np.zeros(numbers.shape, np.bool_)
    if feature.low is not None:
        outside |= numbers < np.float64(feature.low)
    if feature.high is not None:
        outside |= numbers > np.float64(feature.high)
    return outside
