"""Why a replay does not come to its end, as far as it can be told from outside, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.features import Contract
    from app.replay.outcome import Outcome


class Surroundings(NamedTuple):
    """What was looked up when a replay did not come to its end."""

    app_id: str
    n_workers: int | None = None
    """Members of the group; None if it could not be looked at."""
    version: int | None = None
    """The model version in force; None if there is none."""
    versions: tuple[int, ...] = ()
    """Versions that were published."""


def advice(outcome: Outcome, contract: Contract, there: Surroundings) -> Iterator[str]:
    """Sentences on what is missing, each with what to do next; the likeliest first."""
    name = contract.name
    if outcome.open_events:
        if there.n_workers == 0:
            yield f"no worker is in group {there.app_id}: start one: faust-onnx worker --pipelines {name}"
        if there.version is None:
            if there.versions:
                version = max(there.versions)
                yield f"no model is in force: faust-onnx model activate {version} --pipeline {name}"
            else:
                yield f"there is no model: faust-onnx model publish MODEL.onnx --pipeline {name} --activate"
        if there.n_workers != 0 and there.version is not None:
            yield (
                "workers are there but have not come to these events: the worker's /readyz says what holds them back; "
                "wait longer with --timeout"
            )
    elif not outcome.is_complete:
        if there.n_workers == 0:
            yield f"no worker is in group {there.app_id} any more: faust-onnx worker --pipelines {name}"
        else:
            yield (
                "the workers have not counted these labels yet: the worker's /readyz says whether it still reads what "
                f"was before; faust-onnx doctor --pipeline {name} finds labels that lie where nobody looks for them"
            )


def remarks(outcome: Outcome, contract: Contract) -> Iterator[str]:
    """What is worth knowing of a replay that came to its end."""
    name, states = contract.name, outcome.states
    if outcome.dead_events or outcome.dead_labels:
        yield f"what was wrong with each dead letter: faust-onnx dead-letters list --pipeline {name}"
    if states.get("duplicate_prediction"):
        yield (
            f"{states['duplicate_prediction']:,} predictions count no further: their ids were predicted before. Was "
            "this file replayed already, or do ids come twice in it? --fresh-ids gives them new ids"
        )
    if states.get("expired"):
        yield (
            f"{states['expired']:,} labels came later than label_horizon_s = {contract.label_horizon_s:g} after their "
            "events and do not count: a shorter --label-delay, or a longer horizon in the contract"
        )
    if states.get("orphan"):
        yield (
            f"{states['orphan']:,} labels found no prediction in time: their events are dead letters, or lie further "
            "back in time than label_horizon_s; is the file in the order of time?"
        )
    if states.get("pending_dropped"):
        yield f"{states['pending_dropped']:,} events were dropped before their label came: raise pending_max"
