"""Transactions that never end: no reader of committed records gets past one, however long it waits.

offsets  0 . . . . . . | . . . . . . |
                       |             high watermark: what the broker has
                       last stable offset: what readers of committed records are given
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from aiokafka import TopicPartition

from verify.report import Report

Ends = Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]
"""The end offset of each partition, by ListOffsets under one isolation level."""

OFFSETS_TOPIC = "__consumer_offsets"
_AGAIN_S = 0.1


class Unsettled(NamedTuple):
    """A partition whose last stable offset does not come up to what its high watermark was."""

    partition: TopicPartition
    stable: int
    high_watermark: int
    waited_s: float


async def find_unsettled(
    partitions: Iterable[TopicPartition], committed_ends: Ends, all_ends: Ends, *, patience_s: float
) -> list[Unsettled]:
    """The partitions of which a transaction that is open now is still open after *patience_s*.

    A transaction of a pipeline at work ends in time: what counts is that the last stable offset comes up to the high
    watermark that there was at first, not to the one that there is by then.
    """
    asked = list(partitions)
    high_watermarks = await all_ends(asked)
    began_s = time.monotonic()
    while True:
        stable = await committed_ends(asked)
        asked = [tp for tp in asked if stable[tp] < high_watermarks[tp]]
        waited_s = time.monotonic() - began_s
        if not asked or waited_s >= patience_s:
            return [Unsettled(tp, stable[tp], high_watermarks[tp], waited_s) for tp in asked]
        await asyncio.sleep(_AGAIN_S)


def report_unsettled(report: Report, checked: int, unsettled: Iterable[Unsettled]) -> None:
    """Tell of hanging transactions; checked: how many partitions were looked at."""
    check = report.check("transactions")
    check.checked += checked
    for each in unsettled:
        check.violation(
            "hanging",
            f"{each.partition.topic}[{each.partition.partition}]@{each.stable}",
            f"a transaction is open: the last stable offset stays {each.stable} for {each.waited_s:.1f} s, "
            f"the high watermark is {each.high_watermark}",
        )


def report_uncommitted(report: Report, topic: str, committed: Mapping[int, int]) -> None:
    """Tell of outcomes whose feature record is not committed, although both are of one transaction.

    committed: next offsets of the group on the features *topic* by partition, asked for after the outcomes were there.
    """
    check = report.check("transactions")
    for partition, last in report.facts["last_outcomes"].items():
        check.checked += 1
        if last >= committed.get(partition, 0):
            check.violation(
                "not_committed",
                f"{topic}[{partition}]@{last}",
                f"its outcome stands, but the group has committed offset {committed.get(partition, 0)}: "
                "the next worker makes another one",
            )


def offsets_partition(group: str, n_partitions: int) -> int:
    """Where the committed offsets of *group* lie on `__consumer_offsets`: by Java's hash of the name.

    >>> offsets_partition("faust-onnx", 50)
    1
    """
    code = 0
    for unit in _utf16(group):
        code = (31 * code + unit) & 0xFFFFFFFF
    # Java: Utils.abs(group.hashCode()) % n, where abs clears the sign of the smallest integer alone.
    signed = code - (1 << 32) if code >> 31 else code
    return (0 if signed == -(1 << 31) else abs(signed)) % n_partitions


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]
