"""Tables of every kind of column that a contract may read, drawn by hypothesis, and the contract that reads them."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

TEXT = """
name = "toy"
task = "regression"
label_horizon_s = 60
encoding = "arrow"
id_field = "tx.id"
key_field = "account"
event_time_field = "at"
event_time_format = "ms"
features = [
    { name = "f", low = -2, high = 0.1 },
    { name = "g", missing = "nan", path = "tx.g" },
    { name = "h", default = 0.5 },
    { name = "i", dtype = "int" },
    { name = "j", dtype = "int", categories = [1, 2], default = 2 },
    { name = "k", dtype = "int", low = -3, high = 200, default = 0 },
    { name = "b", dtype = "bool" },
    { name = "d", dtype = "bool", default = true },
    { name = "s", dtype = "string" },
    { name = "c", dtype = "string", categories = ["x", "y"], default = "y" },
    { name = "v", dtype = "vector[2]", missing = "nan", low = -1, high = 3 },
    { name = "w", dtype = "vector[1]", path = "tx.o.w" },
    { name = "z", dtype = "vector[2]", default = [1, 2] },
]
"""
INTEGERS = {pa.int8(): (-2, 100), pa.int32(): (-2, 2**31 - 1), pa.int64(): (-2, 2**63 - 1), pa.uint8(): (0, 255)}
INTEGERS |= {pa.uint64(): (0, 2**64 - 1)}
FLOATS = {
    pa.float64(): st.floats(-3, 3) | st.sampled_from([0.1, 1e39, -1e300, math.inf, -math.inf, 3.4e38, 2.0, 7.5]),
    pa.float32(): st.floats(-3, 3, width=32) | st.sampled_from([np.float32(0.1).item(), math.inf, 1.0, 2.0**127]),
    pa.float16(): st.floats(-3, 3, width=16),
}
WILD = FLOATS | {kind: st.integers(least, 3) | st.just(most) for kind, (least, most) in INTEGERS.items()}
"""By type of a column the numbers that it may have, of which no contract takes all."""
WORDS = st.sampled_from(["x", "y", "", "größe", "a longer text than a view holds itself", "1"])
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
TIMES = st.sampled_from([0, 10**12, -1, 253402300799999, 253402300800000, 1_500_000_000_000])
IDS = WORDS | st.sampled_from(["e-1", "e-2", "x" * 70_000])
CALM = {"f": [0, -1], "g": [0, 1.5], "h": [3, 2.25], "i": [1, 7], "j": [1, 2], "k": [0, 120]}
"""Numbers that are good in each column."""
MAY_BE_ABSENT = ["h", "j", "k", "d", "c", "v", "z"]


def array(draw, kind, values, n, *, nulls):
    """An array of *n* of the *values*, some of them null if there may be *nulls*."""
    values = values | st.none() if nulls else values
    found = pa.array(draw(st.lists(values, min_size=n, max_size=n)), kind)
    can_repeat = kind in (pa.float64(), pa.int64())
    return found.dictionary_encode() if can_repeat and draw(st.integers(0, 4)) == 0 else found


def numbers(draw, name, n, *, wild):
    """Numbers for the column *name*: good ones, or whatever a column of numbers may hold."""
    if wild:
        kind = draw(st.sampled_from(list(WILD)))
        return array(draw, kind, WILD[kind], n, nulls=draw(st.booleans()))
    fractions = any(value != int(value) for value in CALM[name])
    unsigned = [pa.uint8(), pa.uint64()] if min(CALM[name]) >= 0 else []
    kinds = list(FLOATS) + ([] if fractions else [pa.int8(), pa.int32(), pa.int64(), *unsigned])
    return array(draw, draw(st.sampled_from(kinds)), st.sampled_from(CALM[name]), n, nulls=name in "ghjk")


def texts(draw, calm, n, *, wild, values=WORDS, nulls=False):
    """Texts: the *calm* ones, or any of the *values*."""
    kind = draw(st.sampled_from(TEXTS))
    return array(draw, kind, values if wild else st.sampled_from(calm), n, nulls=wild or nulls)


def lists(draw, n, width, *, wild, nulls):
    """Lists of numbers, of *width* unless *wild*."""
    inner = draw(st.sampled_from([pa.float64(), pa.float32(), pa.int32()]))
    element = WILD[inner] if wild else st.sampled_from([0, 1, 2])
    element = element | st.none() if nulls or (wild and draw(st.booleans())) else element
    fixed = draw(st.booleans())
    sizes = st.just(width) if fixed or not wild else st.sampled_from([width, width, width, 0, width + 1])
    found = sizes.flatmap(lambda size: st.lists(element, min_size=size, max_size=size))
    found = found | st.none() if nulls or (wild and draw(st.booleans())) else found
    kind = pa.list_(inner, width) if fixed else draw(st.sampled_from([pa.list_, pa.large_list]))(inner)
    return pa.array(draw(st.lists(found, min_size=n, max_size=n)), kind)


@st.composite
def tables(draw):
    """A table that the contract can read: some columns have nothing but good values, up to three may have any."""
    n = draw(st.integers(1, 6))
    names = [*"fghijkbdscvwz", "account", "at", "id", "tx"]
    wild = draw(st.sets(st.sampled_from(names), max_size=3))
    columns = {name: numbers(draw, name, n, wild=name in wild) for name in "fhijk"}
    for name in "bd":
        columns[name] = array(draw, pa.bool_(), st.booleans(), n, nulls=name == "d" or name in wild)
    columns["s"] = texts(draw, ["x", "größe", ""], n, wild="s" in wild)
    columns["c"] = texts(draw, ["x", "y"], n, wild="c" in wild, nulls=True)
    columns["v"] = lists(draw, n, 2, wild="v" in wild, nulls=True)
    columns["z"] = lists(draw, n, 2, wild="z" in wild, nulls=True)
    columns["account"] = texts(
        draw, ["acc"], n, wild="account" in wild, values=st.sampled_from(["acc", "acc", "other"])
    )
    times = TIMES if "at" in wild else st.sampled_from([0, 1_500_000_000_000])
    columns["at"] = array(draw, draw(st.sampled_from([pa.float64(), pa.int64()])), times, n, nulls="at" in wild)
    is_text = draw(st.booleans())
    ids = (
        texts(draw, ["e-1", "größe", "1"], n, wild="id" in wild, values=IDS)
        if is_text
        else numbers(draw, "i", n, wild=False).cast(pa.int64())
    )
    w = struct_of(draw, {"w": lists(draw, n, 1, wild="w" in wild, nulls=False)}, n, nulls="w" in wild)
    parts = {"id": ids, "g": numbers(draw, "g", n, wild="g" in wild), "o": w}
    columns["tx"] = struct_of(draw, parts, n, nulls="tx" in wild)
    for name in draw(st.sets(st.sampled_from(MAY_BE_ABSENT), max_size=2)):
        del columns[name]
    if draw(st.booleans()):
        columns["more"] = pa.array([None] * n)
    return pa.table(dict(draw(st.permutations(list(columns.items())))))


def struct_of(draw, parts, n, *, nulls):
    """A struct of *parts*, null in some rows."""
    mask = draw(st.lists(st.booleans() if nulls else st.just(False), min_size=n, max_size=n))
    return pa.StructArray.from_arrays(list(parts.values()), list(parts), mask=pa.array(mask))
