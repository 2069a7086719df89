"""The scorers that are loaded now: few, because each holds a whole model in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Scorer = TypeVar("Scorer")

KEPT_SCORERS = 3
"""The one in force, the next, and the one before for records that come late."""
IDLE_AFTER_S = 30.0


class ScorerShelf(Generic[Scorer]):
    """Loaded scorers by version; the longest unused leave when there are more than *kept*.

    One used within the last `IDLE_AFTER_S` never leaves: a batch that spans many versions needs all of them at once.
    """

    def __init__(self, *, kept: int = KEPT_SCORERS) -> None:
        self._kept = kept
        self._scorers: dict[int, Scorer] = {}
        self._used_at_s: dict[int, float] = {}

    def __contains__(self, version: int) -> bool:
        return version in self._scorers

    def __getitem__(self, version: int) -> Scorer:
        return self._scorers[version]

    @property
    def versions(self) -> list[int]:
        """The versions loaded now, ascending."""
        return sorted(self._scorers)

    def put(self, version: int, scorer: Scorer, *, used_at_s: float) -> None:
        """Keep *scorer*, last asked for at *used_at_s* (minus infinity: nobody did)."""
        self._scorers[version] = scorer
        self._used_at_s[version] = used_at_s

    def touch(self, version: int, *, now_s: float) -> None:
        """Note that *version* was asked for."""
        self._used_at_s[version] = now_s

    def tidy(self, pinned: Iterable[int], *, now_s: float) -> None:
        """Let go what is too much: never *pinned* versions nor recently used ones, the longest unused first."""
        excess = len(self._scorers) - self._kept
        held = set(pinned)
        for version in sorted(self._scorers, key=lambda version: self._used_at_s[version]):
            if excess <= 0 or now_s - self._used_at_s[version] < IDLE_AFTER_S:
                return
            if version not in held:
                del self._scorers[version], self._used_at_s[version]
                excess -= 1
