"""What the HTTP server needs to know of the worker it speaks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PerformanceSource(Protocol):
    """The performance of one pipeline over all of its partitions."""

    def query(
        self,
        *,
        version: int | None = None,
        window_s: int | None = None,
        from_s: float | None = None,
        to_s: float | None = None,
    ) -> Mapping[str, Any]:
        """The answer of `/api/performance`; None means all versions, the finest window, no bound.

        Raises ValueError when the contract has no such window.
        """


class StatusProvider(Protocol):
    """The worker; every method answers at once from memory, also while tables recover."""

    def alive(self) -> bool:
        """Whether the process does its work, or is on its way to it."""

    def readiness(self) -> tuple[bool, Sequence[str]]:
        """Whether the worker is ready, and if not, each reason in words."""

    def status(self) -> Mapping[str, Any]:
        """What there is to know of the worker, as JSON values."""

    def pipelines(self) -> Sequence[str]:
        """The pipelines that are served."""

    def performance(self, pipeline: str) -> PerformanceSource:
        """The performance of one of `pipelines()`."""
