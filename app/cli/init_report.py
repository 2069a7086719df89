"""What `faust-onnx init` says when it has written a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from app.cli.output import print_json, print_table, printable, say
from app.drafting.choices import dotted
from app.drafting.draft import names_of
from app.drafting.feature_draft import percent
from app.features import class_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.drafting import Draft
    from app.drafting.check import Check
    from app.drafting.feature_draft import FeatureDraft

_CHARS_MAX = 90


def print_report(draft: Draft, check: Check, target: Path, *, as_json: bool) -> None:
    """What was inferred, for people or as JSON."""
    if as_json:
        print_json(_as_json(draft, check, target))
        return
    print_table(["column", "type", "values", "missing", "why"], _rows(draft))
    label, choices = draft.label, draft.choices
    of = f" of {dotted(choices.label)}" if choices.label else ""
    typer.echo()
    say(f"task: {label.task}{of} ({label.task_why}): {printable(label.seen)}")
    if label.positive is not None:
        say(f"positive: {printable(class_key(label.positive))} ({label.why_positive}); --positive V says otherwise")
    for note in draft.notes:
        say(f"note: {printable(note)}")
    accepted = f"{check.n_accepted:,} of {check.n_rows:,} rows looked at again are good by it"
    say(f"wrote {target}: {len(draft.features)} features; {accepted}")
    for reason, n in check.refused.most_common():
        say(f"  {n:,} are refused: {reason}; the first: {printable(check.example or '')}")
    pipeline = choices.pipeline
    # Without a label there is nothing to train on; a topic of labels is no file.
    model = "train FILE" if choices.topic is None else "publish MODEL.onnx"
    say(
        f"\nnext: look through {target}, label_horizon_s above all. Then\n"
        f"  faust-onnx topics create --pipeline {pipeline}\n"
        f"  faust-onnx model {model} --pipeline {pipeline} --activate\n"
        f"  faust-onnx worker --pipelines {pipeline}"
    )


def _rows(draft: Draft) -> Iterator[dict[str, Any]]:
    for feature in draft.features:
        yield {
            "column": dotted(feature.path),
            "type": feature.dtype,
            "values": _values(feature),
            "missing": percent(feature.missing_share) if feature.missing_share else None,
            "why": _cut(f"{feature.seen}; {feature.why}" if feature.why else feature.seen),
        }
    for path, role in draft.roles:
        yield {"column": dotted(path), "type": role}
    for each in draft.left_out:
        yield {"column": dotted(each.path), "type": "left out", "why": _cut(each.why)}


def _values(feature: FeatureDraft) -> str:
    if feature.low is not None and feature.high is not None:
        return f"{feature.low:g} to {feature.high:g}"
    if feature.categories is not None:
        return _cut(", ".join(each or '""' for each in feature.categories), 30)
    return "any text" if feature.dtype == "string" else ""


def _cut(text: str, chars_max: int = _CHARS_MAX) -> str:
    return text if len(text) <= chars_max else f"{text[: chars_max - 3]}..."


def _as_json(draft: Draft, check: Check, target: Path) -> dict[str, Any]:
    label, choices = draft.label, draft.choices
    return {
        "contract": str(target),
        "pipeline": choices.pipeline,
        "rows": draft.n_rows,
        "task": label.task,
        "classes": list(label.classes),
        "positive": label.positive,
        "label": None if choices.label is None else dotted(choices.label),
        "features": [
            {
                "name": name,
                "path": list(feature.path),
                "dtype": feature.dtype,
                "low": feature.low,
                "high": feature.high,
                "categories": feature.categories,
                "missing": feature.missing,
                "default": feature.default,
                "missing_share": feature.missing_share,
                "why": f"{feature.seen}; {feature.why}" if feature.why else feature.seen,
            }
            for feature, name in names_of(draft.features)
        ],
        "left_out": [{"path": list(each.path), "why": each.why} for each in draft.left_out],
        "notes": list(draft.notes),
        "checked": {"rows": check.n_rows, "accepted": check.n_accepted, "refused": dict(check.refused)},
    }
