"""What is to be predicted: the task, its classes and the positive one, from what stands in the label's column."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from app.drafting.choices import dotted
from app.errors import ConfigurationError
from app.features.classes import class_key
from app.features.values import shown
from app.tables.cells import BOOLS, MISSING_WORDS, Kind, kind_of_cell, number_of

if TYPE_CHECKING:
    from app.drafting.choices import Choices
    from app.drafting.column_tally import ColumnTally
    from app.features.contract import Task
    from app.records import ClassValue

CLASSES_MAX = 20
"""Whole numbers with more different values than this are amounts, unless the task is named."""
ROWS_PER_CLASS = 5
"""And so are those of which each has fewer rows than this, on average."""
TEXT_CLASSES_MAX = 1_000
# fmt: off
POSITIVES = frozenset((
    "1", "true", "yes", "y", "t", "positive", "pos", "fraud", "fraudulent", "phishing", "spam", "anomaly", "attack",
    "malicious", "malignant", "bad", "churn", "churned", "default", "failure", "failed", "fail", "buy", "bought",
    "click", "clicked", "converted", "win", "won",
))
NEGATIVES = frozenset((
    "0", "-1", "false", "no", "n", "f", "negative", "neg", "genuine", "legitimate", "legit", "normal", "benign", "good",
    "ham", "ok", "none", "healthy", "lost", "lose",
))
# fmt: on
_TEXTS = frozenset({Kind.TEXT, Kind.CODE, Kind.ISO_TIME, Kind.DATE})


class LabelDraft(NamedTuple):
    """The task as the contract will have it, and what it was read from."""

    task: Task
    seen: str
    classes: tuple[ClassValue, ...] = ()
    """As sorted by scikit-learn, whose order many converted models have."""
    positive: ClassValue | None = None
    why_positive: str = ""
    task_why: str = ""


def drafted_label(choices: Choices, tally: ColumnTally | None, *, is_text: bool, where: str) -> LabelDraft:
    """The task of *choices*, with what the column of the label tells where there is one.

    Raises ConfigurationError if the label cannot be what is to be predicted, or not by the task that was named.
    """
    if tally is None:
        return _told(choices)
    name = dotted(tally.path)
    found = tally.found
    if not found:
        raise ConfigurationError(f"label {name}: has no values in {where}; is another column meant?")
    if Kind.COMMA in found:
        row, value = tally.examples[Kind.COMMA]
        raise ConfigurationError(
            f"label {name}: {shown(value)} in row {row:,} of {where} has a comma, which numbers in JSON have not; "
            "write such numbers with a point and without separators"
        )
    values = _classes(tally, is_text=is_text, where=where)
    if found <= {Kind.INT, Kind.FLOAT}:
        task, why = _numeric_task(values, is_whole=found == {Kind.INT} or _are_whole(values))
    elif values is None or len(values) > TEXT_CLASSES_MAX:
        raise ConfigurationError(
            f"label {name}: has very many different texts in {where}; a label is a class or a number"
        )
    else:
        task, why = ("binary", "two values") if len(values) == 2 else ("multiclass", f"{len(values)} values")  # noqa: PLR2004
    if choices.task is not None and choices.task != task:
        task, why = choices.task, "named by --task"
    if task == "regression":
        if not found <= {Kind.INT, Kind.FLOAT}:
            raise ConfigurationError(
                f"--task regression: label {name} is not of numbers in {where}; classes are binary or multiclass"
            )
        return LabelDraft(task, f"numbers from {tally.low:g} to {tally.high:g}", task_why=why)
    if values is None:
        raise ConfigurationError(
            f"--task {task}: label {name} has too many values in {where}; perhaps --task regression"
        )
    return _with_positive(choices, task, why, values)


def _told(choices: Choices) -> LabelDraft:
    """The task where no label can be looked at."""
    if choices.task == "regression":
        return LabelDraft("regression", "no label was looked at", task_why="named by --task")
    if not choices.classes:
        raise ConfigurationError(
            "what is to be predicted? Name the label's field with --label, or the topic on which labels come with "
            "--labels-topic, or say --classes genuine,fraud or --task regression"
        )
    if all(kind_of_cell(each) in (Kind.INT, Kind.FLOAT) for each in choices.classes):
        values: list[Any] = [number_of(each.strip(), each) for each in choices.classes]
    elif all(kind_of_cell(each) is Kind.BOOL for each in choices.classes):
        values = [BOOLS[each.strip().lower()] for each in choices.classes]
    else:
        values = [each.strip() for each in choices.classes]
    task: Task = choices.task or ("binary" if len(values) == 2 else "multiclass")  # noqa: PLR2004
    return _with_positive(choices, task, "named by --classes", Counter(dict.fromkeys(values, 0)))


def _classes(tally: ColumnTally, *, is_text: bool, where: str) -> Counter[Any] | None:
    """How often each class occurs, as a Label has it; None if there are too many."""
    if tally.values is None:
        return None
    found = tally.found
    if not is_text:
        if not (found <= {Kind.INT, Kind.FLOAT} or found == {Kind.BOOL} or found <= _TEXTS):
            kinds = ", ".join(f"{kind.value} ({shown(tally.examples[kind][1])} in row {tally.examples[kind][0]:,})"
                              for kind in found if kind in tally.examples)  # fmt: skip
            raise ConfigurationError(
                f"label {dotted(tally.path)}: is not of one type in {where}: {kinds}; classes must be"
            )
        return Counter({_whole(value): n for value, n in tally.values.items()})
    counts: Counter[Any] = Counter()
    for cell, n in tally.values.items():
        text = cell.strip()
        if not found & _TEXTS and (not text or text.lower() in MISSING_WORDS):
            continue
        if found <= {Kind.INT, Kind.FLOAT}:
            counts[_whole(number_of(text, text))] += n
        elif found == {Kind.BOOL}:
            counts[BOOLS[text.lower()]] += n
        else:
            counts[cell] += n
    return counts


def _numeric_task(values: Counter[Any] | None, *, is_whole: bool) -> tuple[Task, str]:
    if values is not None and len(values) == 2:  # noqa: PLR2004
        return "binary", "two values"
    if values is None or not is_whole or len(values) > CLASSES_MAX:
        return "regression", "numbers" if not is_whole else f"more than {CLASSES_MAX} different whole numbers"
    if values.total() < ROWS_PER_CLASS * len(values):
        return "regression", f"{len(values)} different numbers in {values.total()} rows"
    return "multiclass", f"{len(values)} different whole numbers; if they are amounts, --task regression"


def _with_positive(choices: Choices, task: Task, why: str, values: Counter[Any]) -> LabelDraft:
    classes = tuple(sorted(values))
    shares = ", ".join(f"{class_key(value)} ({values[value]:,} rows)" for value in classes[:CLASSES_MAX])
    seen = (shares if len(classes) <= CLASSES_MAX else f"{shares}, ...") if values.total() else "no label was looked at"
    if len(classes) < 2:  # noqa: PLR2004
        raise ConfigurationError(f"the label has one value only ({class_key(classes[0])}): there is nothing to predict")
    if task != "binary":
        if choices.positive is not None:
            raise ConfigurationError(f"--positive {choices.positive}: a {task} task has no positive class")
        return LabelDraft(task, seen, classes, task_why=why)
    if len(classes) != 2:  # noqa: PLR2004
        raise ConfigurationError(
            f"--task binary: the label has {len(classes)} values, not two; --task multiclass takes them"
        )
    positive, why_positive = _positive(choices.positive, classes, values)
    return LabelDraft(task, seen, classes, positive, why_positive, why)


def _positive(wanted: str | None, classes: tuple[Any, ...], values: Counter[Any]) -> tuple[Any, str]:
    by_key = {class_key(value): value for value in classes}
    if wanted is not None:
        if wanted not in by_key:
            near = get_close_matches(wanted, by_key, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {' and '.join(by_key)}"
            raise ConfigurationError(f'--positive {wanted}: the label has no value "{wanted}"; {hint}')
        return by_key[wanted], "as --positive said"
    names = {key: key.strip().lower() for key in by_key}
    named = [key for key, name in names.items() if name in POSITIVES]
    if len(named) != 1:
        others = [key for key, name in names.items() if name in NEGATIVES]
        named = [key for key in by_key if key not in others] if len(others) == 1 else []
    if named:
        return by_key[named[0]], "guessed by its name"
    first, second = classes
    if values[first] == values[second]:
        return second, "guessed: neither name nor number tells"
    return min(classes, key=lambda value: values[value]), "guessed: it is the rarer"


def _are_whole(values: Counter[Any] | None) -> bool:
    return values is not None and all(isinstance(value, int) for value in values)


def _whole(value: Any) -> Any:
    """1.0 as 1: they are the same class."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
