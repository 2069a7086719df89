"""Stage 5: counts of predictions and joined labels per version and pane of event time, and the rates from them."""

from app.performance.counters import Counters, classes_of_cell, merged
from app.performance.index import PerformanceIndex
from app.performance.panes import Retention, pane_start
from app.performance.published import performance_records
from app.performance.rates import rates
from app.performance.rows import LedgerRow
from app.performance.tallies import Changes, Tallies

__all__ = [
    "Changes",
    "Counters",
    "LedgerRow",
    "PerformanceIndex",
    "Retention",
    "Tallies",
    "classes_of_cell",
    "merged",
    "pane_start",
    "performance_records",
    "rates",
]
