"""The contract of a pipeline, read anew from contract.toml."""

from __future__ import annotations

import json
import math
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from verify.report import CannotCheck

DIGITS_MAX = 400
"""A JSON integer of more digits is larger than every number there is here."""
TOPICS = ("predictions", "models", "model-bytes", "model-events", "performance", "dead-letters")


class Feature(NamedTuple):
    """One input of the model."""

    name: str
    path: tuple[str, ...]
    dtype: str
    """`float int bool string` or `vector`."""
    width: int
    low: float | None
    high: float | None
    categories: tuple[Any, ...] | None
    missing: str
    """`reject`, `nan` or `default`."""
    default: Any


class Contract(NamedTuple):
    """What the checks need to know of models/<pipeline>/contract.toml."""

    name: str
    task: str
    classes: tuple[Any, ...]
    positive: Any
    threshold: float
    topics: dict[str, str]
    """By the last word of the topic's default name: `features`, `labels`, `predictions`, ...; `ledger` if by id."""
    id_path: tuple[str, ...] | None
    key_path: tuple[str, ...] | None
    time_path: tuple[str, ...] | None
    time_format: str | None
    horizon_s: float
    windows_s: tuple[int, ...]
    features: tuple[Feature, ...]
    max_record_bytes: int = 1 << 20
    encoding: str = "json"
    """Of feature records: `json`, or `arrow`, where each row of a record is an event."""

    @property
    def is_by_id(self) -> bool:
        """Whether predictions and labels meet on the ledger topic."""
        return "ledger" in self.topics

    @property
    def negative(self) -> Any:
        """The other class of a binary task."""
        return next(value for value in self.classes if not same(value, self.positive))


def load_contract(path: Path, *, max_record_bytes: int = 1 << 20) -> Contract:
    """The contract in *path*; CannotCheck if it cannot be understood."""
    try:
        return parse_contract(path.read_text(encoding="utf-8"))._replace(max_record_bytes=max_record_bytes)
    except OSError as error:
        raise CannotCheck(f"{path}: cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise CannotCheck(f"{path}: {error} is missing") from error
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise CannotCheck(f"{path}: is no contract: {error}") from error


def parse_contract(text: str) -> Contract:
    """The contract in the TOML *text*."""
    table = tomllib.loads(text)
    join = table.get("join", "keyed")
    if join not in ("keyed", "by-id"):
        raise ValueError(f'join = "{join}" is neither "keyed" nor "by-id"')
    encoding = table.get("encoding", "json")
    if encoding not in ("json", "arrow"):
        raise ValueError(f'encoding = "{encoding}" is neither "json" nor "arrow"')
    name, classes = table["name"], tuple(table.get("classes", ()))
    renamed = table.get("topics", {})
    topics = {topic: f"{name}.{topic}" for topic in (*TOPICS, *(["ledger"] if join == "by-id" else []))}
    topics |= {topic: renamed.get(topic, f"{name}.{topic}") for topic in ("features", "labels")}
    return Contract(
        name=name,
        task=table["task"],
        classes=classes,
        positive=table.get("positive", classes[1]) if table["task"] == "binary" else None,
        threshold=float(table.get("threshold", 0.5)),
        topics=topics,
        id_path=_path(table.get("id_field")),
        key_path=_path(table.get("key_field")),
        time_path=_path(table.get("event_time_field")),
        time_format=table.get("event_time_format"),
        horizon_s=float(table["label_horizon_s"]),
        windows_s=tuple(table.get("windows_s", (60, 3600, 86400))),
        features=tuple(_feature(entry) for entry in table["features"]),
        encoding=encoding,
    )


def _path(value: Any) -> tuple[str, ...] | None:
    return None if value is None else tuple(value.split(".") if isinstance(value, str) else value)


def _feature(entry: dict[str, Any]) -> Feature:
    dtype, width = entry.get("dtype", "float"), 1
    if dtype.startswith("vector["):
        dtype, width = "vector", int(dtype[len("vector[") : -1])
    default = entry.get("default")
    if dtype == "vector" and default is not None and not isinstance(default, list):
        default = [default] * width
    categories = entry.get("categories")
    return Feature(
        name=entry["name"],
        path=_path(entry.get("path")) or (entry["name"],),
        dtype=dtype,
        width=width,
        low=entry.get("low"),
        high=entry.get("high"),
        categories=None if categories is None else tuple(categories),
        missing=entry.get("missing", "reject" if default is None else "default"),
        default=default,
    )


def kind_and_value(value: Any) -> tuple[str, Any]:
    """What classes are compared by: 1 equals 1.0, but neither "1" nor true."""
    kind = type(value)
    if kind is str:
        return "string", value
    return ("boolean", value) if kind is bool else ("number", value)


def same(one: Any, other: Any) -> bool:
    """Whether two classes are the same."""
    if type(one) is type(other) and one == other:
        return True  # the usual case, at a third of the cost
    return kind_and_value(one) == kind_and_value(other)


@lru_cache(maxsize=4096, typed=True)
def class_key(value: Any) -> str:
    """The text of a class where JSON needs a string: 1 and 1.0 are "1", true is "true"."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _parse_int(digits: str) -> float:
    if len(digits) <= DIGITS_MAX:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


JSON = json.JSONDecoder(parse_constant=_no_constant, parse_int=_parse_int)


def parse_json(value: bytes) -> Any:
    """The JSON in the UTF-8 text *value*; ValueError if it is none (NaN and Infinity are none)."""
    try:
        return JSON.decode(value.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
