"""When each record of a plan could be read from a topic: the other end of an open loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.cluster import Cluster, client

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.open_loop import Plan

LATE_S = 10.0
"""A record that takes longer is one that the system does not get done in time."""
GROWTH, GROWTH_S = 2.0, 0.5
"""Latency that more than doubles over the window, and rises by more than half a second, would go on rising."""
READ_AT_MOST = 2000
CHECK_EVERY_S = 1.0


@dataclass(frozen=True)
class Seen:
    """What became of the records of a plan."""

    latencies_s: np.ndarray
    """From due to readable, shape (n,); NaN for those that were not seen."""
    per_s: float
    """Records seen per second, from the moment the first was due."""

    @property
    def missing(self) -> int:
        """How many were not seen in time."""
        return int(np.isnan(self.latencies_s).sum())

    def why_saturated(self, skip: int) -> str:
        """Why this was more than the system carries; empty when it carried it. The first *skip* are left out."""
        late = self.missing + int((self.latencies_s > LATE_S).sum())
        if late:
            return f"{late:,} of {len(self.latencies_s):,} predictions were not seen within {LATE_S:g} s"
        counted = self.latencies_s[skip:]
        fifth = max(len(counted) // 5, 1)
        before_s, after_s = float(np.median(counted[:fifth])), float(np.median(counted[-fifth:]))
        if after_s > GROWTH * before_s and after_s - before_s > GROWTH_S:
            return f"the median latency rose from {before_s:.2f} s to {after_s:.2f} s"
        return ""


class Observer:
    """Reads a topic from its beginning; the ids in it are those of benchmarks/workloads.py."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._consumer = Consumer({**client(cluster.broker), "group.id": "unused", "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(cluster.partitions)])

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()

    def watch(self, plan: Plan, *, check: Callable[[], None], late_s: float = LATE_S) -> Seen:
        """Read until every record of *plan* was seen, or one is later than *late_s*; check: raises if it is over."""
        seen_s = np.full(plan.n, np.nan)
        due_s = plan.begins_s + np.arange(plan.n) / plan.rate
        left, now_s = plan.n, time.monotonic()
        checked_s = now_s
        while left and now_s < due_s[-1] + late_s:
            numbers, now_s = self._read()
            if now_s - checked_s > CHECK_EVERY_S:
                checked_s = now_s
                check()
            index = numbers - plan.first
            index = index[(index >= 0) & (index < plan.n)]
            index = np.unique(index[np.isnan(seen_s[index])])  # copies count from the first that could be read
            if len(index):
                seen_s[index] = now_s
                left -= len(index)
                if now_s - due_s[index[0]] > late_s:
                    break
        return Seen(seen_s - due_s, (plan.n - left) / max(now_s - plan.begins_s, 1e-9))

    def follow(self, *, lead_s: float, seconds: float, check: Callable[[], None], seen: Callable[[int], None]) -> float:
        """Records per second over *seconds*, which begin *lead_s* from now; *seen* is told how many by now."""
        begins_s = time.monotonic() + lead_s
        n = n_before = 0
        began_s, now_s = begins_s, time.monotonic()
        checked_s = now_s
        while now_s < begins_s + seconds:
            numbers, now_s = self._read()
            if now_s - checked_s > CHECK_EVERY_S:
                checked_s = now_s
                check()
            n += len(numbers)
            seen(n)
            if now_s < begins_s:
                began_s, n_before = now_s, n
        return (n - n_before) / (now_s - began_s)

    def _read(self) -> tuple[np.ndarray, float]:
        """The numbers of the records that are there, possibly none, and when they could be read."""
        message = self._consumer.poll(0.2)
        if message is None:
            return np.empty(0, np.int64), time.monotonic()
        messages = [message, *self._consumer.consume(READ_AT_MOST, timeout=0)]
        now_s = time.monotonic()
        for each in messages:
            if each.error():
                raise KafkaException(each.error())
        # {"id":"e-<number>",...
        numbers = [int((each.value() or b"").split(b'"', 5)[3][2:]) for each in messages]
        return np.array(numbers, np.int64), now_s
