"""A contract as it is drafted: all that was decided, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.drafting.choices import dotted
from app.drafting.feature_draft import FeatureDraft, LeftOut, judged, percent
from app.drafting.label_draft import LabelDraft, drafted_label
from app.drafting.relabelling import ROWS_MIN, is_linear_in
from app.drafting.times import time_format
from app.errors import ConfigurationError
from app.tables.cells import Kind

if TYPE_CHECKING:
    from app.drafting.choices import Choices
    from app.drafting.column_tally import ColumnTally
    from app.drafting.table_tally import TableTally
    from app.features.contract import FieldPath


@dataclass(frozen=True)
class Draft:
    """What a contract will say."""

    choices: Choices
    where: str
    """What the rows were read from, for people."""
    n_rows: int
    label: LabelDraft
    features: tuple[FeatureDraft, ...]
    left_out: tuple[LeftOut, ...]
    roles: tuple[tuple[FieldPath, str], ...]
    """The columns that were named, and as what: `label`, `id`, `key`, `time`."""
    time: tuple[str, str] | None = None
    """The format of the event's time, and from when to when the times are."""
    notes: tuple[str, ...] = ()
    """What a person should know of the columns that were named."""

    def noting(self, notes: tuple[str, ...]) -> Draft:
        """The same with further *notes*."""
        return replace(self, notes=(*self.notes, *notes))


def draft_contract(choices: Choices, rows: TableTally, *, where: str, labels: TableTally | None = None) -> Draft:
    """The contract for *rows* and what was said; ConfigurationError where they do not go together.

    where: what the rows were read from, for people. labels: records of a topic of their own, with the field `label`.
    """
    label_tally = _label_tally(choices, rows, labels)
    of_labels = rows if labels is None else labels
    label = drafted_label(
        choices, label_tally, is_text=of_labels.is_text, where=where if labels is None else "the labels topic"
    )
    roles = _roles(choices)
    outcomes = [_judged(choices, label, rows, path) for path in rows.columns if path not in roles]
    features = tuple(each for each in outcomes if isinstance(each, FeatureDraft))
    left_out = tuple(each for each in outcomes if isinstance(each, LeftOut))
    if not features:
        reasons = "".join(f"\n  {dotted(each.path)}: {each.why}" for each in left_out)
        raise ConfigurationError(f"{where}: none of its columns can be a feature:{reasons}")
    time = None if choices.time is None else time_format(rows.columns[choices.time], where)
    notes = (*_notes_on_label(label_tally, of_labels), *_notes_on_names(choices, rows))
    return Draft(choices, where, rows.n_rows, label, features, left_out, tuple(roles.items()), time, notes)


def _label_tally(choices: Choices, rows: TableTally, labels: TableTally | None) -> ColumnTally | None:
    if labels is not None:
        tally = labels.columns.get(("label",))
        if tally is None:
            raise ConfigurationError(
                f'--labels-topic {choices.labels_topic}: its records have no field "label"; one such record is '
                '{"id": "t-81", "label": "fraud"}'
            )
        return tally
    return None if choices.label is None else rows.columns[choices.label]


def _roles(choices: Choices) -> dict[FieldPath, str]:
    named = ((choices.time, "time"), (choices.key, "key"), (choices.id, "id"), (choices.label, "label"))
    return {path: role for path, role in named if path is not None}


def _judged(choices: Choices, label: LabelDraft, rows: TableTally, path: FieldPath) -> FeatureDraft | LeftOut:
    if any(_is_inside(path, other) or _is_inside(other, path) for other in rows.columns):
        return LeftOut(path, "is, or lies in, what is an object in some records and a value in others")
    if not all(path):
        return LeftOut(path, "has an empty name, or lies under one")
    outcome = judged(rows.columns[path], rows.numbers(path), is_text=rows.is_text)
    if isinstance(outcome, LeftOut) or choices.label is None:
        return outcome
    relabelling = rows.relabellings.found().get(path)
    name = dotted(choices.label)
    if relabelling is not None and label.classes and (relabelling or rows.n_rows >= ROWS_MIN):
        what = (
            "equals the label in every row"
            if relabelling
            else "is the label under other names: one value for each class"
        )
        return LeftOut(path, f"{what} ({name}): it would not be known when an event arrives")
    if label.task == "regression" and is_linear_in(rows.numbers(choices.label), rows.numbers(path)):
        return LeftOut(
            path, f"is the label ({name}), or the same in another unit: it would not be known when an event arrives"
        )
    return outcome


def _is_inside(outer: FieldPath, inner: FieldPath) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _notes_on_label(tally: ColumnTally | None, rows: TableTally) -> tuple[str, ...]:
    if tally is None or not (n := tally.kinds[Kind.MISSING]):
        return ()
    return (f"{n:,} rows ({percent(n / rows.n_rows)}) have no label",)


def _notes_on_names(choices: Choices, rows: TableTally) -> tuple[str, ...]:
    notes = []
    for flag, path, effect in (
        ("--id", choices.id, "bad_id"),
        ("--key", choices.key, "bad_id"),
        ("--time", choices.time, "bad_time"),
    ):
        if path is None:
            continue
        tally = rows.columns[path]
        if n := tally.kinds[Kind.MISSING]:
            notes.append(
                f"{flag} {dotted(path)}: {n:,} rows ({percent(n / rows.n_rows)}) have none and are refused ({effect})"
            )
        if flag != "--time" and not rows.is_text and not tally.found <= {Kind.TEXT, Kind.INT, Kind.ISO_TIME, Kind.DATE}:
            raise ConfigurationError(f"{flag} {dotted(path)}: must be a text or a whole number, and is {_kinds(tally)}")
        if flag == "--id" and not tally.is_distinct:
            notes.append(f"--id {dotted(path)}: some ids come more than once; only the first event of each is counted")
    return tuple(notes)


def _kinds(tally: ColumnTally) -> str:
    return " and ".join(sorted(kind.value for kind in tally.found)) or "never there"


def names_of(features: tuple[FeatureDraft, ...]) -> tuple[tuple[FeatureDraft, str], ...]:
    """Each feature with a name of its own: its column's, or the keys of a nested path joined.

    A name that two would have gets a number.
    """
    taken: set[str] = set()
    named = []
    for feature in features:
        base = name = "_".join(feature.path) or "feature"
        number = 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        named.append((feature, name))
    return tuple(named)
