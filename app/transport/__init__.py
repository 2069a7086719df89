"""Faust in batches: consumer, producer, tables and recovery that move whole record batches.

It subclasses the seams of faust-streaming 0.15.3 and keeps its ordinary topics, tables, agents and timers working.
"""

from app.transport.app import BatchApp
from app.transport.batch import Batch, live
from app.transport.producer import acknowledged
from app.transport.table import BatchTable
from app.transport.thread import Limits
from app.transport.topic import BatchTopic
from app.transport.transactions import Fenced, Lane, Output, Transactions

__all__ = [
    "Batch",
    "BatchApp",
    "BatchTable",
    "BatchTopic",
    "Fenced",
    "Lane",
    "Limits",
    "Output",
    "Transactions",
    "acknowledged",
    "live",
]
