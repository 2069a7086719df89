"""A timeline as JSON-able values, for /api/status and `model list`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from app.registry.timeline import InForce, Undecided

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.registry.timeline import ActivationState, Release, Timeline


def releases_of(timeline: Timeline) -> list[dict[str, Any]]:
    """Every release by version: its manifest, `state` accepted, refused or unread, and why it was refused."""
    return [_release(timeline, timeline.releases[version]) for version in sorted(timeline.releases)]


def activations_of(timeline: Timeline) -> list[dict[str, Any]]:
    """Every standing activation by sequence: its record and `validity` valid, undecided or ignored, and why."""
    states = sorted(timeline.activations(), key=lambda state: state.standing.activation.sequence)
    return [_activation(state) for state in states]


def status_of(  # noqa: PLR0913 - one value, built in one place
    timeline: Timeline,
    *,
    now_s: float,
    fresh_as_of_s: float,
    loaded: Collection[int],
    problem: str | None,
    audit_problem: str | None,
) -> dict[str, Any]:
    """What a worker knows of its pipeline's models at *now_s*; absent means unknown or none."""
    status: dict[str, Any] = {
        "releases": releases_of(timeline),
        "activations": activations_of(timeline),
        "loaded": list(loaded),
    }
    answer = timeline.in_force(now_s)
    if isinstance(answer, InForce):
        status["current"] = {"version": answer.version, "sequence": answer.sequence}
    elif isinstance(answer, Undecided):
        status["waiting_for"] = answer.version
    if math.isfinite(fresh_as_of_s):
        status["fresh_as_of"] = fresh_as_of_s
    if problem is not None:
        status["problem"] = problem
    if audit_problem is not None:
        status["audit_problem"] = audit_problem
    return status


def _release(timeline: Timeline, release: Release) -> dict[str, Any]:
    version = release.manifest.version
    shown: dict[str, Any] = {**msgspec.to_builtins(release.manifest), "recorded_at": release.recorded_at_s}
    if version in timeline.refused:
        refusal = timeline.refused[version]
        return {**shown, "state": "refused", "reason": str(refusal.refusal), "error": str(refusal)}
    return {**shown, "state": "accepted" if version in timeline.accepted else "unread"}


def _activation(state: ActivationState) -> dict[str, Any]:
    standing = state.standing
    shown: dict[str, Any] = {
        **msgspec.to_builtins(standing.activation),
        "recorded_at": standing.recorded_at_s,
        "on_time": standing.on_time,
        "validity": str(state.validity),
    }
    if state.notice is not None:
        shown |= {"reason": str(state.notice.reason), "error": state.notice.error}
    return shown
