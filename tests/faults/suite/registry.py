"""What a case is, and the list of them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.suite.run import Run

CASES: dict[str, Case] = {}
"""By name, in the order of their numbers."""


@dataclass(frozen=True)
class Case:
    """One fault, or a few of a kind, and what must hold beside the invariants of every run."""

    name: str
    number: int
    """In the plan of faults; several cases may share one."""
    function: Callable[[Run], Awaitable[None]]
    own_broker: bool = False
    """It stops, kills or pauses the broker."""
    proxied: bool = False
    """Workers reach the broker through the proxy."""
    no_copies: bool = False
    """Also at_least_once must not double an outcome: nothing here ends a worker without notice."""
    exits: int = 0
    """How many workers may end with an error while the fault lasts; each is started again."""
    may_drop: bool = False
    """Ids may be dropped before their time: then nothing is claimed of their partition's counts."""
    records: int = 20_000
    """Feature records of a run, at least."""
    drain_s: float = 60.0
    """How long after the end of the fault everything may take to be counted (P7)."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Broker settings, for a broker of its own."""

    @property
    def about(self) -> str:
        """The fault in a sentence."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


def case(number: int, **options: object) -> Callable[..., Callable[[Run], Awaitable[None]]]:
    """Make the decorated function a case that is called as it is."""

    def register(function: Callable[[Run], Awaitable[None]]) -> Callable[[Run], Awaitable[None]]:
        CASES[function.__name__] = Case(function.__name__, number, function, **options)
        in_order = sorted(CASES.items(), key=lambda item: item[1].number)
        CASES.clear()
        CASES.update(in_order)
        return function

    return register
