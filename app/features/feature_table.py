"""One `[[features]]` table of a contract, as a Feature."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from app.errors import InvalidRecord
from app.features.contract import Feature
from app.features.toml_table import TomlTable
from app.features.values import INT64_MAX, INT64_MIN, feature_value

if TYPE_CHECKING:
    from app.features.contract import Dtype

EXAMPLES = {
    "name": 'name = "amount"',
    "path": 'path = "transaction.amount"',
    "dtype": 'dtype = "float"',
    "low": "low = 0",
    "high": "high = 1e6",
    "categories": 'categories = ["web", "app", "phone"]',
    "missing": 'missing = "reject"',
    "default": "default = 0",
}
VECTOR = re.compile(r"vector\[([1-9][0-9]{0,5})\]")


def read_feature(file: str, number: int, content: dict[str, Any]) -> Feature:
    """The feature of the table *content*, the *number*th of its *file*; ConfigurationError if it is wrong."""
    name = content.get("name")
    table = TomlTable(file, f"features[{name if isinstance(name, str) and name else number}].", content, EXAMPLES)
    name = table.text("name")
    dtype, width = _dtype(table)
    low, high = _bound(table, "low", dtype), _bound(table, "high", dtype)
    if low is not None and high is not None and low > high:
        raise table.error("low", f"{low} is above high, {high}")
    feature = Feature(
        name=name,
        path=_path(table, name),
        dtype=dtype,
        width=width,
        low=low,
        high=high,
        categories=_categories(table, dtype, has_range=low is not None or high is not None),
        missing=_missing(table, dtype),
    )
    return _with_default(table, feature)


def _dtype(table: TomlTable) -> tuple[Dtype, int]:
    dtype = table.text("dtype", default="float")
    if dtype in ("float", "int", "bool", "string"):
        return cast("Dtype", dtype), 1
    if match := VECTOR.fullmatch(dtype):
        return "vector", int(match[1])
    raise table.error("dtype", f'expected float, int, bool, string or vector[n] as in "vector[16]", got "{dtype}"')


def _path(table: TomlTable, name: str) -> tuple[str, ...]:
    path = table.path("path")
    if path is None and "." in name:
        raise table.error("name", f'"{name}" has a dot: say with path which field is meant, "a.b" or ["a.b"]')
    return path or (name,)


def _bound(table: TomlTable, key: str, dtype: Dtype) -> float | None:
    if dtype not in ("float", "int", "vector"):
        table.absent(key, f"a {dtype} has no range")
    if key not in table.content:
        return None
    bound = table.number(key)
    if dtype != "int":
        return bound
    if not bound.is_integer():
        raise table.error(key, f"expected an integer, as the feature is one, got {bound}")
    whole = int(table.content[key])  # not int(bound): above 2**53 a float is another number
    if not INT64_MIN <= whole <= INT64_MAX:
        raise table.error(key, f"{whole} does not fit 64 bits")
    return whole


def _categories(table: TomlTable, dtype: Dtype, *, has_range: bool) -> tuple[str | int, ...] | None:
    if "categories" not in table.content:
        return None
    kind = {"string": str, "int": int}.get(dtype)
    if kind is None or has_range:
        raise table.error("categories", "only a string or an int has categories, and then no range")
    categories: list[Any] = table.items("categories")
    for value in categories:
        if type(value) is not kind or (isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX):
            raise table.error("categories", f"{value!r} is no {dtype}")
    if len(set(categories)) < len(categories):
        raise table.error("categories", "one is named twice")
    return tuple(categories)


def _missing(table: TomlTable, dtype: Dtype) -> Any:
    has_default = "default" in table.content
    missing = table.choice("missing", ("reject", "nan", "default"), default="default" if has_default else "reject")
    if (missing == "default") != has_default:
        raise table.error("default", f'missing = "{missing}" {"goes without" if has_default else "needs"} a default')
    if missing == "nan" and dtype not in ("float", "vector"):
        raise table.error("missing", f'only a float or a vector can be NaN; a {dtype} is "reject" or has a default')
    return missing


def _with_default(table: TomlTable, feature: Feature) -> Feature:
    if feature.missing != "default":
        return feature
    default = table.content["default"]
    if feature.dtype == "vector" and type(default) in (int, float):
        default = [default] * feature.width
    try:
        value: Any = feature_value(feature, default)
    except InvalidRecord as error:
        raise table.error("default", f"is itself no good value: {error}") from None
    return replace(feature, default=tuple(value) if isinstance(value, list) else value)
