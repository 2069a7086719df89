"""What becomes of a column: a feature with its rules, or a reason to leave it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.drafting.head_room import head_room
from app.features.values import FLOAT32_OVERFLOW, shown
from app.tables.cells import Kind

if TYPE_CHECKING:
    from app.drafting.column_tally import ColumnTally
    from app.features.contract import FieldPath

CATEGORIES_MAX = 100
"""With more different texts a column is no category of which a model could learn each."""
NEWCOMERS_MAX = 0.001
"""Share of the rows whose text occurs once: about as often will a text come that was not seen (Good and Turing)."""
_EXACT_INT = 2.0**53
_MOSTLY = 0.9


@dataclass(frozen=True)
class FeatureDraft:
    """A feature as the contract will have it, what was seen of it, and why it is as it is."""

    path: FieldPath
    dtype: str
    seen: str
    why: str = ""
    missing_share: float = 0.0
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = None
    seen_categories: tuple[str, ...] | None = None
    """Those that were seen, where any text is accepted."""
    missing: str = "reject"
    default: Any = None
    """None unless `missing` is `default`."""


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature."""

    path: FieldPath
    why: str


def judged(tally: ColumnTally, sampled: list[float], *, is_text: bool) -> FeatureDraft | LeftOut:  # noqa: PLR0911  # each reason to leave a column out is a return
    """What becomes of the column of *tally*, by itself; *sampled* are some of its values, if it is of numbers."""
    found = tally.found
    if not found:
        return LeftOut(tally.path, "has no values")
    if found <= {Kind.INT, Kind.FLOAT}:
        return _numbers(tally, sampled)
    if found == {Kind.BOOL}:
        return _booleans(tally)
    if found <= {Kind.LIST, Kind.OTHER}:
        return _vector(tally)
    if Kind.COMMA in found and found <= {Kind.INT, Kind.FLOAT, Kind.COMMA}:
        why = f"numbers with a comma, such as {_example(tally, Kind.COMMA)}: write them as JSON has them, with"
        return LeftOut(tally.path, f"{why} a point and no other separator, and it can be a feature")
    if found <= {Kind.ISO_TIME, Kind.DATE}:
        kind = Kind.ISO_TIME if Kind.ISO_TIME in found else Kind.DATE
        hint = "; --time makes it the event's time" if found == {Kind.ISO_TIME} else ""
        return LeftOut(tally.path, f"dates, such as {_example(tally, kind)}: a model takes numbers and texts{hint}")
    if not is_text and not found <= {Kind.TEXT, Kind.ISO_TIME, Kind.DATE}:
        kinds = ", ".join(f"{kind.value} ({_example(tally, kind)})" for kind in Kind if kind in found)
        return LeftOut(tally.path, f"is not of one type: {kinds}")
    return _texts(tally)


def _numbers(tally: ColumnTally, sampled: list[float]) -> FeatureDraft | LeftOut:  # noqa: PLR0911  # each reason to leave a column out is a return
    is_whole = tally.found == {Kind.INT}
    low, high, share = tally.low, tally.high, _missing_share(tally)
    span = f"{_number(low)} to {_number(high)}"
    if low == high:
        return LeftOut(tally.path, f"is {_number(low)} in every row{' that has it' * (share > 0)}")
    if is_whole and tally.counts_rows:
        return LeftOut(tally.path, f"counts the rows, {span}")
    if is_whole and tally.is_distinct and _sounds_like_an_id(tally):
        return LeftOut(tally.path, f"{_all_differ(tally)}, and it is called an id: there is nothing to learn from it")
    largest = max(abs(low), abs(high))
    if is_whole and largest >= _EXACT_INT:
        return LeftOut(tally.path, f"whole numbers up to {_number(largest)}, which are not exact beyond 2^53: an id?")
    if largest >= FLOAT32_OVERFLOW:
        return LeftOut(tally.path, f"has numbers of which a 32-bit float is infinite, up to {largest:g}")
    is_flag = is_whole and (low, high) == (0, 1)
    bottom, top = (low, high) if is_flag else head_room(low, high, sampled)
    what = "0 and 1" if is_flag else f"{'whole ' * is_whole}numbers from {span}"
    if share:
        why = "NaN where it is missing" + (": a float, since an int has no NaN" if is_whole else "")
        return FeatureDraft(tally.path, "float", what, why, share, bottom, top, missing="nan")
    return FeatureDraft(tally.path, "int" if is_whole else "float", what, low=bottom, high=top)


def _booleans(tally: ColumnTally) -> FeatureDraft | LeftOut:
    share = _missing_share(tally)
    counts = {True: 0, False: 0}
    for value, n in (tally.values or {}).items():
        text = str(value).strip().lower()
        if text in ("true", "false"):
            counts[text == "true"] += n
    if not all(counts.values()):
        return LeftOut(tally.path, f"is {str(counts[True] > 0).lower()} in every row{' that has it' * (share > 0)}")
    n_true = counts[True]
    seen = f"true in {percent(n_true / (n_true + counts[False]))}, false in the others"
    if not share:
        return FeatureDraft(tally.path, "bool", seen)
    usual = n_true > counts[False]
    why = f'missing is taken for {str(usual).lower()}, the more frequent; missing = "reject" in its place refuses it'
    return FeatureDraft(tally.path, "bool", seen, why, share, missing="default", default=usual)


def _texts(tally: ColumnTally) -> FeatureDraft | LeftOut:  # noqa: PLR0911  # each reason to leave a column out is a return
    values, share = tally.values, _missing_share(tally)
    n_numbers = tally.kinds[Kind.INT] + tally.kinds[Kind.FLOAT]
    if values is None or len(values) > CATEGORIES_MAX:
        if n_numbers > _MOSTLY * tally.present:
            other = next(kind for kind in Kind if kind in tally.found - {Kind.INT, Kind.FLOAT})
            example = _example(tally, other if other in tally.examples else Kind.MISSING_WORD)
            return LeftOut(
                tally.path, f"numbers but for {example} and the like: mend these, or leave their cells empty"
            )
        if tally.is_distinct:
            return LeftOut(tally.path, f"{_all_differ(tally)}: an id? There is nothing to learn from it")
        if values is None:
            return LeftOut(tally.path, "texts of very many kinds: no categories")
        return LeftOut(tally.path, f"{len(values):,} different texts, more than the {CATEGORIES_MAX} of a category")
    if len(values) == 1:
        return LeftOut(tally.path, f"is {shown(next(iter(values)))} in every row{' that has it' * (share > 0)}")
    if tally.is_distinct:
        return LeftOut(tally.path, f"{_all_differ(tally)}: an id? There is nothing to learn from it")
    categories = tuple(sorted(map(str, values)))
    seen = f"{len(values)} different texts"
    if Kind.CODE in tally.found:
        seen += f", such as {_example(tally, Kind.CODE)}: with leading zeros they are codes, not numbers"
    newcomers = sum(1 for n in values.values() if n == 1) / tally.present
    missing: dict[str, Any] = {}
    why = ""
    if share:
        categories = ("", *(each for each in categories if each))
        missing = {"missing": "default", "default": ""}
        why = "where it is missing the empty text stands, a category like the others"
    if newcomers > NEWCOMERS_MAX:
        rare = f"any text is accepted: {percent(newcomers)} of the rows have one that comes once, so others will come"
        why = f"{rare}; {why}" if why else rare
        return FeatureDraft(tally.path, "string", seen, why, share, seen_categories=categories, **missing)
    return FeatureDraft(tally.path, "string", seen, why, share, categories=categories, **missing)


def _vector(tally: ColumnTally) -> FeatureDraft | LeftOut:
    if Kind.OTHER in tally.found or tally.low > tally.high:
        kind = Kind.OTHER if Kind.OTHER in tally.found else Kind.LIST
        return LeftOut(tally.path, f"holds what is no number, text or list of numbers, such as {_example(tally, kind)}")
    if len(tally.lengths) > 1 or not min(tally.lengths):
        return LeftOut(tally.path, "lists of different lengths: a vector has one")
    if max(abs(tally.low), abs(tally.high)) >= FLOAT32_OVERFLOW:
        return LeftOut(tally.path, f"has numbers of which a 32-bit float is infinite, up to {tally.high:g}")
    if tally.low == tally.high:
        return LeftOut(tally.path, f"all its elements are {_number(tally.low)}")
    (n,) = tally.lengths
    bottom, top = head_room(tally.low, tally.high, [])
    share = _missing_share(tally)
    seen = f"{n} numbers each, from {_number(tally.low)} to {_number(tally.high)}"
    if share or tally.has_gaps:
        why = "NaN where it, or an element of it, is missing"
        return FeatureDraft(tally.path, f"vector[{n}]", seen, why, share, bottom, top, missing="nan")
    return FeatureDraft(tally.path, f"vector[{n}]", seen, low=bottom, high=top)


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.5), percent(0.0004), percent(0.00000001)
    ('50 %', '0.04 %', 'under 0.01 %')
    """
    return f"{100 * share:.3g} %" if share >= 1e-4 else "under 0.01 %"  # noqa: PLR2004


def _missing_share(tally: ColumnTally) -> float:
    missing = tally.kinds[Kind.MISSING] + (0 if Kind.TEXT in tally.found else tally.kinds[Kind.MISSING_WORD])
    return missing / tally.kinds.total()


def _sounds_like_an_id(tally: ColumnTally) -> bool:
    name = tally.path[-1].lower()
    return name.endswith("id") or name in ("index", "uuid", "guid", "key") or name.startswith(("id_", "unnamed"))


def _all_differ(tally: ColumnTally) -> str:
    return "its first values all differ" if tally.values is None else "every row has another value"


def _example(tally: ColumnTally, kind: Kind) -> str:
    if kind not in tally.examples:
        return kind.value
    row, value = tally.examples[kind]
    return f"{shown(value)} in row {row:,}"


def _number(value: float) -> str:
    """A number for people.

    >>> _number(72.0), _number(0.1), _number(1234567.0)
    ('72', '0.1', '1,234,567')
    """
    return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"  # noqa: PLR2004
