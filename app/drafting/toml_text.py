"""A draft as the text of contract.toml: every line with its reason, so that a person can judge and change it."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from app.drafting.choices import dotted
from app.drafting.draft import names_of
from app.drafting.feature_draft import percent
from app.drafting.head_room import RULE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.drafting.draft import Draft
    from app.drafting.feature_draft import FeatureDraft
    from app.features.contract import FieldPath

HORIZON_S = 86_400
_WIDTH = 118
_PER_LINE = 8


def contract_text(draft: Draft) -> str:
    """The contract of *draft* in TOML."""
    return "\n".join([*_head(draft), *_topics(draft), *_left_out(draft), *_features(draft), ""])


def _head(draft: Draft) -> Iterator[str]:
    choices, label = draft.choices, draft.label
    yield from comment(
        f'The contract of the pipeline "{choices.pipeline}", written by `faust-onnx init` from {draft.n_rows:,} rows '
        f"of {draft.where}. Change any line: docs/contract.md explains every key. What was inferred is said beside it."
    )
    yield f"name = {toml(choices.pipeline)}"
    yield ""
    yield from comment(f"What is predicted: {label.seen}.")
    yield f"task = {toml(label.task)}{_aside(label.task_why)}"
    if label.classes:
        yield f"classes = {_list(label.classes)}"
    if label.task == "binary":
        yield f"positive = {toml(label.positive)}{_aside(f'{label.why_positive}; `score` is its probability')}"
        yield "threshold = 0.5  # positive iff the score is at least this"
    yield ""
    yield from _names(draft)
    yield ""
    yield from comment(
        "EDIT THIS: how many seconds after its event a label may come and still count; no data tell. 86400 is a day."
    )
    yield f"label_horizon_s = {HORIZON_S}"
    yield 'join = "keyed"  # labels carry the key of their event; "by-id" if they may have any key'
    yield "windows_s = [60, 3600, 86400]  # widths of rolling accuracy, in seconds"


def _names(draft: Draft) -> Iterator[str]:
    choices = draft.choices
    if choices.label is not None:
        yield f"label_field = {_path(choices.label)}  # where files of examples have it; workers do not look at it"
    if choices.id is not None:
        yield f"id_field = {_path(choices.id)}  # labels name their event by it"
    else:
        yield from comment('id_field = "...": none was named, so labels name their event <topic>-<partition>-<offset>')
    if choices.key is not None:
        yield f"key_field = {_path(choices.key)}  # must equal the key of the Kafka record, where that has one"
    if choices.time is not None and draft.time is not None:
        form, span = draft.time
        yield f"event_time_field = {_path(choices.time)}{_aside(span)}"
        yield f"event_time_format = {toml(form)}"
    else:
        yield from comment('event_time_field = "...": none was named, so an event has the time of its Kafka record')


def _topics(draft: Draft) -> Iterator[str]:
    choices = draft.choices
    if choices.topic is not None or choices.labels_topic is not None:
        yield ""
        yield "[topics]"
        if choices.topic is not None:
            yield f"features = {toml(choices.topic)}"
        if choices.labels_topic is not None:
            yield f"labels = {toml(choices.labels_topic)}"


def _left_out(draft: Draft) -> Iterator[str]:
    if draft.notes:
        yield ""
        yield "# Beware:"
        for note in draft.notes:
            yield from comment(f"- {note}", indent="  ")
    if draft.left_out:
        yield ""
        yield "# Left out:"
        for each in draft.left_out:
            yield from comment(f"- {dotted(each.path)}: {each.why}", indent="  ")


def _features(draft: Draft) -> Iterator[str]:
    yield ""
    yield from comment(
        f"The features, in the order in which a model takes them. {' '.join(RULE.split())} A text that is none of its "
        "categories is refused too: add it, or delete the line to accept any; and so is a fraction where the dtype is "
        "int: make it float if there may be one. What is missing is refused "
        "(missing_feature) unless a line says what it means."
    )
    for feature, name in names_of(draft.features):
        yield ""
        yield from comment(_seen(feature))
        yield "[[features]]"
        yield f"name = {toml(name)}"
        if feature.path != (name,) or "." in name:
            yield f"path = {_path(feature.path)}"
        yield f"dtype = {toml(feature.dtype)}"
        if feature.low is not None and feature.high is not None:
            is_whole = feature.dtype == "int"
            yield f"low = {_bound(feature.low, is_whole=is_whole)}"
            yield f"high = {_bound(feature.high, is_whole=is_whole)}"
        if feature.categories is not None:
            yield f"categories = {_list(feature.categories)}"
        elif feature.seen_categories is not None:
            yield f"# categories = {_list(feature.seen_categories)}".replace("\n", "\n# ")
        if feature.missing == "nan":
            yield 'missing = "nan"'
        elif feature.missing == "default":
            yield f"default = {toml(feature.default)}"


def _seen(feature: FeatureDraft) -> str:
    missing = f"missing in {percent(feature.missing_share)}" if feature.missing_share else "never missing"
    return f"{feature.seen}; {missing}" + (f". {feature.why[0].upper()}{feature.why[1:]}" if feature.why else "")


def comment(text: str, *, indent: str = "") -> list[str]:
    """*text* as lines of comment; what strangers wrote into a file cannot end the comment."""
    safe = "".join(each if each.isprintable() else each.encode("unicode_escape", "replace").decode() for each in text)
    return [f"# {line}" for line in textwrap.wrap(safe, _WIDTH, subsequent_indent=indent, break_long_words=False)] or [
        "#"
    ]


def toml(value: Any) -> str:
    r"""A text, number or boolean as TOML writes it.

    >>> toml('a "b"\n'), toml(True), toml(0.5), toml("\x7f")
    ('"a \\"b\\"\\n"', 'true', '0.5', '"\\u007f"')
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _path(path: FieldPath) -> str:
    is_plain = all("." not in key and key for key in path)
    return toml(dotted(path)) if is_plain else f"[{', '.join(map(toml, path))}]"


def _list(values: tuple[Any, ...]) -> str:
    texts = [toml(value) for value in values]
    if len(texts) <= _PER_LINE:
        return f"[{', '.join(texts)}]"
    lines = [", ".join(texts[at : at + _PER_LINE]) for at in range(0, len(texts), _PER_LINE)]
    return "[\n" + "".join(f"    {line},\n" for line in lines) + "]"


def _bound(value: float, *, is_whole: bool) -> str:
    return str(int(value)) if is_whole or (value.is_integer() and abs(value) < 1e15) else repr(value)  # noqa: PLR2004


def _aside(text: str) -> str:
    return f"  # {''.join(comment(text))[2:]}" if text and len(text) < _WIDTH else ""
