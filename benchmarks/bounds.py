"""How much memory and disk a worker takes at its worst: three times more events than it can score, and no Kafka.

    steady    events as fast as they are predicted, for comparison
    overload  for every event that is predicted three are sent, for 60 s; then the sender stops and the worker drains
    away      Kafka is stopped while events come and wait, and started again 20 s later

The worker has a lower priority than Kafka and the sender, which could not get ahead of it on two cores. Memory is what
the process has in RAM, looked at twice a second; disk is its state folder. In the end every event must
have been predicted; copies, which at-least-once allows where Kafka went away, are counted and told.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.background import Background
from benchmarks.cluster import LOG_APPEND_TIME, Cluster
from benchmarks.processes import Running, Unfit, resident_bytes, told
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, Job, publish, start_worker
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

OVERLOAD = 3.0
OVERLOAD_S, AWAY_S, STEADY_S = 60.0, 30.0, 30.0
QUICK = 0.25
"""Part of those lengths in a short look."""
LEAST, MOST = 5_000, 100_000
"""Events that are sent at a time."""
AHEAD = 50_000
"""Events that wait in Kafka while the load is steady."""
AROUND_S = 10.0
"""For so long events come before Kafka goes away, and after it has come back."""
SAMPLE_S = 0.5
NICENESS = 12


@dataclass(frozen=True)
class Sample:
    """The worker at one moment."""

    at_s: float
    phase: str
    sent: int
    predicted: int
    resident_bytes: int
    state_bytes: int


class Sender(Background):
    """Sends events, never more than `allowed(predicted)` altogether, in a thread of its own."""

    def __init__(self, cluster: Cluster, job: Job) -> None:
        super().__init__()
        self.sent = 0
        self.predicted = 0
        """As last looked at."""
        self.allowed: Callable[[int], float] = lambda _: 0.0
        self._cluster, self._job = cluster, job

    def pause(self) -> None:
        """Send no more."""
        self.allowed = lambda _: 0.0

    def work(self) -> None:
        """Send as many as are allowed, and wait for leave to send more."""
        make = self._job.workload.record_maker()
        while not self.stopped.is_set():
            step = min(MOST, int(self.allowed(self.predicted)) - self.sent)
            if step < LEAST:
                self.stopped.wait(0.01)
                continue
            self._cluster.fill(self._job.features, make, range(self.sent, self.sent + step))
            self.sent += step


class Watch:
    """Looks at the worker, its predictions and its disk."""

    def __init__(self, cluster: Cluster, job: Job, running: Running, sender: Sender, console: Console) -> None:
        self.samples: list[Sample] = []
        self._cluster, self._job, self._running, self._sender, self._console = cluster, job, running, sender, console
        self._state = job.folder / job.name / "state"
        self._began_s = time.monotonic()

    def until(self, condition: Callable[[Sample], bool], phase: str, *, within_s: float, blind: bool = False) -> Sample:
        """Look until *condition* holds; blind: Kafka does not answer. Unfit if it takes too long."""
        began_s = time.monotonic()
        while True:
            self._running.check()
            self._sender.check()
            if not blind:
                try:
                    self._sender.predicted = self._cluster.written(self._job.predictions)
                except KafkaException:  # it has come back, but leads no partition yet, and the client would not notice
                    self._cluster = Cluster(self._cluster.broker)
            sample = Sample(
                round(time.monotonic() - self._began_s, 2),
                phase,
                self._sender.sent,
                self._sender.predicted,
                resident_bytes(self._running.pid),
                disk_bytes(self._state),
            )
            self.samples.append(sample)
            if len(self.samples) % 20 == 0:
                self._console.print(
                    f"{phase:<9} sent {sample.sent:>10,}  predicted {sample.predicted:>10,}  "
                    f"{sample.resident_bytes / 1e6:,.0f} MB, {sample.state_bytes / 1e6:,.0f} MB on disk"
                )
            if condition(sample):
                return sample
            if time.monotonic() - began_s > within_s:
                raise Unfit(f"{phase}: not over within {within_s:g} s\n{self._running.last_lines()}")
            time.sleep(SAMPLE_S)

    def last(self, seconds: float, phase: str, *, blind: bool = False) -> Sample:
        """Look for so long."""
        began_s = time.monotonic()
        return self.until(lambda _: time.monotonic() - began_s >= seconds, phase, within_s=2 * seconds, blind=blind)


def give_way(pid: int) -> None:
    """Lower the priority of all threads of process *pid*."""
    for thread in psutil.Process(pid).threads():
        os.setpriority(os.PRIO_PROCESS, thread.id, NICENESS)


def disk_bytes(folder: Path) -> int:
    """Bytes that the files of *folder* take."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_blocks * 512
            except FileNotFoundError:  # RocksDB removes files all the time
                continue
    return total


def of_phase(samples: list[Sample], phase: str) -> dict[str, Any]:
    """Memory and disk of a phase."""
    mine = [sample for sample in samples if sample.phase == phase]
    seconds = mine[-1].at_s - mine[0].at_s
    predicted = mine[-1].predicted - mine[0].predicted
    return {
        "seconds": round(seconds, 1),
        "sent": mine[-1].sent - mine[0].sent,
        "predicted": predicted,
        "events_per_s": round(predicted / seconds) if seconds else 0,
        "resident_bytes_median": round(statistics.median(sample.resident_bytes for sample in mine)),
        "resident_bytes_max": max(sample.resident_bytes for sample in mine),
        "state_bytes_max": max(sample.state_bytes for sample in mine),
    }


def run(scale: float, console: Console) -> dict[str, Any]:
    """All phases on one worker; *scale* is the part of their length."""
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        job = Job(OURS, "bounds", "bounds.features", WORKLOADS["a"], Path(folder))
        cluster.create(job.features, LOG_APPEND_TIME)
        publish(job, cluster)
        with start_worker(job, cluster) as running, Sender(cluster, job) as sender:
            running.wait_until(job.ready_file.exists, within_s=120, what="ready")
            give_way(running.pid)
            watch = Watch(cluster, job, running, sender, console)

            sender.allowed = lambda predicted: predicted + AHEAD
            watch.last(STEADY_S * scale, "steady")

            before = watch.samples[-1]
            sender.allowed = lambda predicted: before.sent + OVERLOAD * (predicted - before.predicted) + MOST
            after = watch.last(OVERLOAD_S * scale, "overload")
            ratio = (after.sent - before.sent) / max(after.predicted - before.predicted, 1)
            sender.pause()
            watch.until(lambda now: now.predicted >= now.sent, "drain", within_s=900)

            sender.allowed = lambda predicted: predicted + 10 * AHEAD
            watch.last(AROUND_S * scale, "before")
            kafka.stop()
            watch.last(AWAY_S * scale, "away", blind=True)
            kafka.restart()
            gone = watch.samples[-1].predicted
            back_s = time.monotonic()
            watch.until(lambda now: now.predicted > gone, "back", within_s=120)
            back_s = time.monotonic() - back_s
            watch.last(AROUND_S * scale, "back")
            sender.pause()
            watch.until(lambda now: now.predicted >= now.sent, "back", within_s=900)
            watch.last(5, "rest")
            copies = watch.samples[-1].predicted - cluster.written(job.features)
            stop_s = running.stop()
        return {
            "overload": round(ratio, 2),
            "phases": {name: of_phase(watch.samples, name) for name in dict.fromkeys(s.phase for s in watch.samples)},
            "first_prediction_after_return_s": round(back_s, 1),
            "copies": copies,
            "stop_s": round(stop_s, 2),
            "samples": [asdict(sample) for sample in watch.samples],
        }


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.bounds", description="Memory and disk at the worst.")
    parser.add_argument("--quick", action="store_true", help="a quarter of the length; kept apart from full results")
    arguments = parser.parse_args()
    console = Console()
    result = surroundings(full=not arguments.quick)
    result |= run(QUICK if arguments.quick else 1.0, console)
    if result["overload"] < OVERLOAD * 0.9:
        raise Unfit(f"only {result['overload']} events were sent for each that was predicted")
    table = Table("phase", "seconds", "sent", "predicted", "MB median", "MB at most", "MB on disk at most")
    for name, row in result["phases"].items():
        megabytes = (row[key] / 1e6 for key in ("resident_bytes_median", "resident_bytes_max", "state_bytes_max"))
        counts = f"{row['seconds']}", f"{row['sent']:,}", f"{row['predicted']:,}"
        table.add_row(name, *counts, *(f"{value:,.0f}" for value in megabytes))
    console.print(table)
    console.print(
        f"sent / predicted in overload: {result['overload']}; the first prediction came "
        f"{result['first_prediction_after_return_s']} s after Kafka did, {result['copies']} copies; "
        f"an orderly end took {result['stop_s']} s"
    )
    console.print(f"kept in {write('bounds', result)}")


if __name__ == "__main__":
    told(main)
