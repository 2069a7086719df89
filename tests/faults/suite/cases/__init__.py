"""The cases, by what they do harm to; importing a module puts its cases on the list."""

from tests.faults.suite.cases import (
    broker,
    by_id,
    records,
    resources,
    rolling,
    state,
    topics,
    transactions,
    workers,
    zombies,
)

__all__ = [
    "broker",
    "by_id",
    "records",
    "resources",
    "rolling",
    "state",
    "topics",
    "transactions",
    "workers",
    "zombies",
]
