"""The cases, by what they do harm to; importing a module puts its cases on the list."""

from tests.faults.suite.cases import (
    broker,
    by_id,
    labels,
    loads,
    poison,
    resources,
    rolling,
    state,
    times,
    topics,
    transactions,
    workers,
    zombies,
)

__all__ = [
    "broker",
    "by_id",
    "labels",
    "loads",
    "poison",
    "resources",
    "rolling",
    "state",
    "times",
    "topics",
    "transactions",
    "workers",
    "zombies",
]
