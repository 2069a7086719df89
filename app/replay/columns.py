"""Whether a file is one of the contract's at all: a row may lack a field, but a column that no row has is a mistake."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.features import Contract
    from app.features.contract import FieldPath


def check_columns(contract: Contract, columns: Collection[FieldPath], where: str, *, needs_times: bool = False) -> None:
    """ConfigurationError if every record made of *columns*, those of the first rows of *where*, would be refused.

    needs_times: whether the file's own times are asked for.
    """
    wanted = {feature.path: f"feature {feature.name}" for feature in contract.features if feature.missing == "reject"}
    if contract.id_path is not None:
        wanted[contract.id_path] = "id_field"
    if contract.event_time_path is not None and needs_times:
        wanted[contract.event_time_path] = "event_time_field"
    missing = {path: what for path, what in wanted.items() if path not in columns}
    if missing:
        path, what = next(iter(missing.items()))
        more = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise ConfigurationError(
            f"{where} has no column {_text(path)}, which the contract of {contract.name} needs for its {what}{more}"
            f"{_hint(path, columns)}"
        )


def label_problem(contract: Contract, columns: Collection[FieldPath], where: str) -> str | None:
    """Why no labels can be sent from a file with *columns*; None if they can."""
    if contract.label_path is None:
        return (
            f"the contract of {contract.name} does not say where a file has the label, so none are sent; add to it for "
            'example: label_field = "label"'
        )
    if contract.label_path not in columns:
        hint = _hint(contract.label_path, columns)
        return (
            f"{where} has no column {_text(contract.label_path)}, the contract's label_field: no labels are sent{hint}"
        )
    return None


def _hint(path: FieldPath, columns: Collection[FieldPath]) -> str:
    names = [_text(column) for column in columns]
    near = get_close_matches(_text(path), names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(names[:10])}"


def _text(path: FieldPath) -> str:
    return ".".join(path)
