"""From contract.toml to a Contract: every wrong key or value is named, with a valid example."""

from __future__ import annotations

import math
import re
import tomllib
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from app.errors import ConfigurationError
from app.features.classes import identity_of
from app.features.contract import Contract, FieldPath
from app.features.feature_table import read_feature
from app.features.toml_table import TomlTable
from app.records import topics_of

if TYPE_CHECKING:
    from pathlib import Path

    from app.features.contract import Encoding, Feature, Join, Task, TimeFormat
    from app.records import ClassValue, Topics

EXAMPLES = {
    "name": 'name = "fraud"',
    "task": 'task = "binary"',
    "classes": 'classes = ["good", "fraud"]',
    "positive": 'positive = "fraud"',
    "threshold": "threshold = 0.5",
    "id_field": 'id_field = "transaction.id"',
    "key_field": 'key_field = "account"',
    "event_time_field": 'event_time_field = "paid_at"',
    "event_time_format": 'event_time_format = "iso8601"',
    "label_field": 'label_field = "is_fraud"',
    "label_horizon_s": "label_horizon_s = 86400",
    "join": 'join = "keyed"',
    "encoding": 'encoding = "json"',
    "windows_s": "windows_s = [60, 3600, 86400]",
    "topics": 'topics.features = "payments"',
    "features": 'features = [{ name = "amount", dtype = "float" }]',
}
TOPIC_EXAMPLES = {"features": 'features = "payments"', "labels": 'labels = "chargebacks"'}
PIPELINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")


def read_contract(path: Path) -> Contract:
    """The contract in the TOML file *path*; ConfigurationError names file, field and a valid example."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}; a pipeline has a contract at models/<pipeline>/contract.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}; a valid line: {EXAMPLES['name']}") from error
    return _contract(TomlTable(str(path), "", content, EXAMPLES))


def _contract(table: TomlTable) -> Contract:
    name = table.text("name")
    if not PIPELINE_NAME.fullmatch(name):
        raise table.error(
            "name", f'"{name}" is no pipeline name: letters, digits, "-" and "_", since topics begin with it'
        )
    task = cast("Task", table.choice("task", ("binary", "multiclass", "regression")))
    classes = _classes(table, task)
    time_path, time_format = _event_time(table)
    contract = Contract(
        name=name,
        task=task,
        classes=classes,
        positive=_positive(table, task, classes),
        threshold=_threshold(table, task),
        topics=_topics(table, name),
        id_path=table.path("id_field"),
        key_path=table.path("key_field"),
        event_time_path=time_path,
        event_time_format=time_format,
        label_path=table.path("label_field"),
        label_horizon_s=_horizon(table),
        join=cast("Join", table.choice("join", ("keyed", "by-id"), default="keyed")),
        windows_s=_windows(table),
        features=_features(table),
        encoding=cast("Encoding", table.choice("encoding", ("json", "arrow"), default="json")),
    )
    _check_paths(table, contract)
    return contract


def _classes(table: TomlTable, task: Task) -> tuple[ClassValue, ...]:
    if task == "regression":
        table.absent("classes", "a regression has no classes")
        return ()
    classes = table.items("classes")
    for value in classes:
        kind = identity_of(value)
        if kind is None or (isinstance(value, float) and math.isinf(value)):
            raise table.error("classes", f"{value!r} is no class: strings, numbers or booleans are")
        if kind[0] != cast("tuple[str, Any]", identity_of(classes[0]))[0]:
            raise table.error("classes", f"{classes[0]!r} and {value!r} are of different kinds")
    if len({identity_of(value) for value in classes}) != len(classes):
        raise table.error("classes", f"{classes!r} names a class twice")
    if task == "binary" and len(classes) != 2:  # noqa: PLR2004 - that is what binary says
        raise table.error("classes", f"a binary task has exactly 2 classes, got {len(classes)}")
    if len(classes) < 2:  # noqa: PLR2004 - one class needs no model
        raise table.error("classes", f"at least 2 are needed, got {len(classes)}")
    return tuple(classes)


def _positive(table: TomlTable, task: Task, classes: tuple[ClassValue, ...]) -> ClassValue | None:
    if task != "binary":
        table.absent("positive", f"a {task} task has no positive class")
        return None
    if "positive" not in table.content:
        return classes[1]
    wanted = identity_of(table.content["positive"])
    for value in classes:
        if identity_of(value) == wanted:
            return value
    raise table.error("positive", f"{table.content['positive']!r} is none of the classes {list(classes)!r}")


def _threshold(table: TomlTable, task: Task) -> float:
    if task != "binary":
        table.absent("threshold", f"a {task} task has no threshold")
        return 0.5
    threshold = table.number("threshold", default=0.5)
    if not 0 <= threshold <= 1:
        raise table.error("threshold", f"expected a probability from 0 to 1, got {threshold:g}")
    return threshold


def _topics(table: TomlTable, pipeline: str) -> Topics:
    own = table.table("topics", TOPIC_EXAMPLES)
    topics = topics_of(pipeline, features=own.text("features", default=""), labels=own.text("labels", default=""))
    for key, topic in (("features", topics.features), ("labels", topics.labels)):
        if not TOPIC_NAME.fullmatch(topic):
            raise own.error(key, f'"{topic}" is no topic name: up to 249 letters, digits, ".", "_" and "-"')
        if topics.count(topic) > 1:
            raise own.error(key, f'"{topic}" is the name of two topics of this pipeline')
    return topics


def _event_time(table: TomlTable) -> tuple[FieldPath | None, TimeFormat | None]:
    path = table.path("event_time_field")
    if path is None:
        table.absent("event_time_format", "there is no event_time_field that it could be the format of")
        return None, None
    # Seconds and milliseconds cannot be told apart with certainty, so nothing is guessed.
    return path, cast("TimeFormat", table.choice("event_time_format", ("s", "ms", "us", "iso8601")))


def _horizon(table: TomlTable) -> float:
    horizon_s = table.number("label_horizon_s")
    if horizon_s <= 0:
        raise table.error(
            "label_horizon_s", f"{horizon_s} is not positive: it is how long after its event a label may come"
        )
    return horizon_s


def _windows(table: TomlTable) -> tuple[int, ...]:
    windows_s = table.items("windows_s", default=[60, 3600, 86400])
    if any(type(width_s) is not int or width_s < 1 for width_s in windows_s):
        raise table.error("windows_s", f"{windows_s!r} has something that is no whole number of seconds")
    for finer_s, coarser_s in pairwise(windows_s):
        if coarser_s <= finer_s or coarser_s % finer_s:
            raise table.error("windows_s", f"{coarser_s} is no multiple of the window before it, {finer_s}")
    return tuple(windows_s)


def _features(table: TomlTable) -> tuple[Feature, ...]:
    entries = table.items("features")
    features: list[Feature] = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise table.error("features", f"{entry!r} is no table")
        features.append(read_feature(table.file, number, entry))
    names = [feature.name for feature in features]
    for name in names:
        if names.count(name) > 1:
            raise table.error("features", f'two features are named "{name}"')
    return tuple(features)


def _check_paths(table: TomlTable, contract: Contract) -> None:
    """One feature reads one field, and no field lies inside another that is a value itself."""
    key_of = {feature.path: f'features "{feature.name}"' for feature in contract.features}
    if len(key_of) < len(contract.features):
        paths = [feature.path for feature in contract.features]
        twice = next(path for path in paths if paths.count(path) > 1)
        raise table.error("features", f'two features read the field "{".".join(twice)}"')
    if contract.label_path in key_of:
        raise table.error("label_field", f"{key_of[contract.label_path]} reads it: the model would be told the answer")
    own = {"id_field": contract.id_path, "key_field": contract.key_path, "event_time_field": contract.event_time_path}
    key_of.update({path: key for key, path in own.items() if path is not None})
    for outer, key in key_of.items():
        for inner, inner_key in key_of.items():
            if len(inner) > len(outer) and inner[: len(outer)] == outer:
                raise table.error(inner_key.split()[0], f'"{".".join(inner)}" lies inside the value of {key}')
