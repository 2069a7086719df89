"""How late a prediction is: from the moment its event was due to be sent until an observer can read the prediction.

An open loop: record i is due at start + i / rate, whatever became of the ones before it, and its latency counts from
when it was *due*. A system that stalls for a second is charged for every event that was due in that second (no
coordinated omission). `kafka-alone` is the same measurement of the feature records themselves: what the sender, Kafka
and the observer take without anybody in between.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster, client, raise_error
from benchmarks.processes import Unfit, told
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, SYSTEMS, Job, start
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KAFKA_ALONE = "kafka-alone"
FIRST_S = 120.0
"""How long the first prediction may take."""
LAST_S = 30.0
"""How long after the last event was sent its prediction may come."""
PER_MILLE = {"p50_ms": 500, "p99_ms": 990, "p99.9_ms": 999}


@dataclass
class OpenLoop:
    """Sends records at a fixed rate in a thread of its own, until `stop`."""

    broker: str
    topic: str
    make: Callable[[int], tuple[bytes, bytes]]
    rate: float
    started_s: float = 0.0
    sent: int = 0
    latest_s: float = 0.0
    """How far the sender was behind its own schedule, at worst: it is part of the latency, and bad when large."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def due_s(self, number: int) -> float:
        """When record *number* is to be sent, on the monotonic clock."""
        return self.started_s + number / self.rate

    def run(self) -> None:
        """Send each record when it is due, or at once if that has passed."""
        producer = Producer({**client(self.broker), "linger.ms": 0, "acks": "all"})
        producer.list_topics(self.topic, timeout=30)  # connected before the first is due
        self.started_s = time.monotonic()
        while not self._stopped.is_set():
            ahead_s = self.due_s(self.sent) - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)
            key, value = self.make(self.sent)
            producer.produce(self.topic, value, key, partition=self.sent % N_PARTITIONS, on_delivery=raise_error)
            self.latest_s = max(self.latest_s, time.monotonic() - self.due_s(self.sent))
            self.sent += 1
            producer.poll(0)
        producer.flush()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()


def observe(cluster: Cluster, topic: str, loop: OpenLoop, *, warm_up_s: float, seconds: float) -> list[float]:
    """The latencies, seconds, of all records due in *seconds* after a warm-up that begins with the first one seen.

    Unfit when one is missing in the end.
    """
    consumer = Consumer({**client(cluster.broker), "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(N_PARTITIONS)])
    sender = threading.Thread(target=loop.run, daemon=True)
    sender.start()
    give_up_s = time.monotonic() + FIRST_S
    first = last = -1
    latency_s: dict[int, float] = {}
    try:
        while last < 0 or len(latency_s) < last - first:
            message = consumer.poll(0.2)
            now_s = time.monotonic()
            if now_s > give_up_s:
                raise Unfit(f"{len(latency_s)} of {max(last - first, 1)} predictions were seen in time")
            if message is None or message.error():
                continue
            number = int((message.value() or b"").split(b'"', 5)[3][2:])  # {"id":"e-<number>",...
            if last < 0:
                first = loop.sent + int(warm_up_s * loop.rate)
                last = first + int(seconds * loop.rate)
                give_up_s = loop.due_s(last) + LAST_S
            if first <= number < last:
                latency_s.setdefault(number, now_s - loop.due_s(number))
    finally:
        loop.stop()
        sender.join()
        consumer.close()
    return list(latency_s.values())


def percentile(ordered: Sequence[float], per_mille: int) -> float:
    """The nearest-rank percentile of values in ascending order; whole numbers, so that no rounding moves the rank.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 500), percentile([1.0, 2.0, 3.0, 4.0], 999)
    (2.0, 4.0)
    """
    return ordered[-(-per_mille * len(ordered) // 1000) - 1]


def summarised(latencies_s: list[float], loop: OpenLoop) -> dict[str, Any]:
    """Percentiles in milliseconds."""
    ordered = sorted(latencies_s)
    return {
        "events": len(ordered),
        **{name: round(percentile(ordered, per_mille) * 1000, 3) for name, per_mille in PER_MILLE.items()},
        "max_ms": round(ordered[-1] * 1000, 3),
        "sender_latest_ms": round(loop.latest_s * 1000, 3),
    }


def run(systems: Sequence[str], *, rate: float, warm_up_s: float, seconds: float, console: Console) -> dict[str, Any]:
    """The summary of each of *systems*, one after the other."""
    workload = WORKLOADS["a"]
    make = workload.record_maker()
    summary = {}
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        for system in systems:
            job = Job(system, f"late-{system}", f"late-{system}.events", workload, Path(folder))
            cluster.create(job.features, LOG_APPEND_TIME)
            loop = OpenLoop(cluster.broker, job.features, make, rate)
            with nullcontext() if system == KAFKA_ALONE else start(job, cluster) as running:
                if running and system == OURS:
                    running.wait_until(job.ready_file.exists, within_s=FIRST_S, what="ready")
                topic = job.features if system == KAFKA_ALONE else job.predictions
                try:
                    latencies_s = observe(cluster, topic, loop, warm_up_s=warm_up_s, seconds=seconds)
                except Unfit as error:
                    raise Unfit(f"{system}: {error}\n{running.last_lines() if running else ''}") from error
            summary[system] = summarised(latencies_s, loop)
            console.print(f"{system}: {summary[system]}")
    return summary


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.latency", description="End-to-end latency, open loop.")
    parser.add_argument("--quick", action="store_true", help="ten seconds each; kept apart from full results")
    parser.add_argument("--rate", type=float, default=1000.0, help="events per second (1,000)")
    parser.add_argument("--seconds", type=float, help="how long each is measured (60; quick: 10)")
    parser.add_argument(
        "--systems", default=f"{KAFKA_ALONE},{OURS},aiokafka-loop", help=f"of {', '.join((KAFKA_ALONE, *SYSTEMS))}"
    )
    arguments = parser.parse_args()
    warm_up_s, seconds = (3.0, arguments.seconds or 10.0) if arguments.quick else (10.0, arguments.seconds or 60.0)
    systems = arguments.systems.split(",")
    result = surroundings(full=not arguments.quick and OURS in systems and seconds >= 60 and arguments.rate == 1000)
    gc.disable()  # a collection here would be charged to whoever is measured
    sys.setswitchinterval(0.0005)  # sender and observer share this process
    console = Console()
    summary = run(systems, rate=arguments.rate, warm_up_s=warm_up_s, seconds=seconds, console=console)
    table = Table(title=f"due to readable, ms, at {arguments.rate:,.0f} events/s, open loop")
    columns = (*PER_MILLE, "max_ms", "sender_latest_ms", "events")
    for heading in ("system", *columns):
        table.add_column(heading.removesuffix("_ms"), justify="left" if heading == "system" else "right")
    for system, row in summary.items():
        table.add_row(system, *(f"{row[column]:,}" for column in columns))
    console.print(table)
    result["latency"] = {"rate_per_s": arguments.rate, "seconds": seconds, "partitions": N_PARTITIONS, **summary}
    console.print(f"kept in {write('latency', result)}")


if __name__ == "__main__":
    told(main)
