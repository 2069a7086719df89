"""Whether memory stays flat over five million events, and how long a restart takes until the worker is ready again.

A feeder keeps the features topic at most 200,000 records ahead of the predictions, and sends a label for every
eleventh event. Memory is sampled with the number of predictions at that moment. As many events again go before those
that are judged: while features wait, feedback has a twentieth of the time, so it takes that long until RocksDB's write
buffers and caches have all been filled once and ids are forgotten as fast as they come. Flat means that the line
through the samples after that rises by less than 5 % of the memory over the five million. The label horizon is three
seconds: what is remembered is bounded by the horizon, and a longer one would measure how the ledger fills instead.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from app.embedded import EmbeddedKafka
from benchmarks.background import Background
from benchmarks.cluster import LOG_APPEND_TIME, Cluster
from benchmarks.processes import Running, Unfit, resident_bytes, told
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, Job, publish, start_worker
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD = 200_000
STEP = 20_000
HORIZON_S = 3
LABEL_EVERY = 11
SAMPLE_S = 1.0
FLAT = 0.05
KEEP_LITTLE = {"retention.bytes": str(512 << 20), "segment.bytes": str(64 << 20)}
N_RESTARTS = 3


@dataclass(frozen=True)
class Sample:
    """The worker at one moment."""

    predictions: int
    resident_bytes: int


class Feeder(Background):
    """Fills features and labels, in a thread of its own, as fast as the worker takes them."""

    def __init__(self, cluster: Cluster, job: Job, n: int) -> None:
        super().__init__()
        self.n = n
        self.labels = 0
        self._cluster, self._job = cluster, job

    def predictions(self) -> int:
        """How many predictions there are by now."""
        return self._cluster.written(self._job.predictions)

    def work(self) -> None:
        """Fill both topics, `AHEAD` records ahead of the predictions, until there are `n` events."""
        make = self._job.workload.record_maker()
        for start in range(0, self.n, STEP):
            while self.predictions() < start - AHEAD:
                if self.stopped.wait(0.05):
                    return
            numbers = range(start, min(start + STEP, self.n))
            self._cluster.fill(self._job.features, make, numbers)
            labelled = range(-(-start // LABEL_EVERY) * LABEL_EVERY, numbers.stop, LABEL_EVERY)
            self._cluster.fill(self._job.labels, label_maker(make), labelled)
            self.labels += len(labelled)


def label_maker(make: Callable[[int], tuple[bytes, bytes]]) -> Callable[[int], tuple[bytes, bytes]]:
    """A function from a record's number to the key and value of its label; the class is as good as a coin's."""

    def make_label(number: int) -> tuple[bytes, bytes]:
        return make(number)[0], b'{"id":"e-%d","label":%d}' % (number, number // LABEL_EVERY % 2)

    return make_label


def watch(running: Running, feeder: Feeder, console: Console) -> list[Sample]:
    """Samples once a second until every event is predicted; Unfit if they stop coming."""
    samples: list[Sample] = []
    moved_s, before = time.monotonic(), 0
    while True:
        running.check()
        feeder.check()
        predictions = feeder.predictions()
        samples.append(Sample(predictions, resident_bytes(running.pid)))
        if len(samples) % 20 == 0:
            console.print(f"{predictions:>10,} events  {samples[-1].resident_bytes / 1e6:,.0f} MB")
        if predictions >= feeder.n:
            return samples
        if predictions > before:
            moved_s, before = time.monotonic(), predictions
        elif time.monotonic() - moved_s > 60:
            raise Unfit(f"no prediction for 60 s at {predictions} of {feeder.n}\n{running.last_lines()}")
        time.sleep(SAMPLE_S)


def judged(samples: list[Sample], n: int) -> dict[str, Any]:
    """The slope of memory over the last *n* events, and whether that is flat."""
    last = samples[-1].predictions
    settled = [sample for sample in samples if sample.predictions >= last - n]
    events = [float(sample.predictions) for sample in settled]
    resident = [float(sample.resident_bytes) for sample in settled]
    slope = statistics.linear_regression(events, resident).slope
    growth = slope * n / statistics.mean(resident)
    return {
        "bytes_per_million_events": round(slope * 1e6),
        "growth": round(growth, 4),
        "flat": growth < FLAT,
        "resident_bytes_first": round(statistics.median(resident[:3])),
        "resident_bytes_median": round(statistics.median(resident)),
        "resident_bytes_max": max(sample.resident_bytes for sample in samples),
    }


def restarts(cluster: Cluster, job: Job) -> dict[str, Any]:
    """Seconds from the start of a worker to ready, after an orderly end and after a kill, on the state left behind."""
    seconds: dict[str, list[float]] = {"restart_to_ready_s": [], "restart_to_ready_after_kill_s": [], "stop_s": []}
    for _ in range(N_RESTARTS):
        with start_worker(job, cluster) as running:
            ready_s = running.wait_until(job.ready_file.exists, within_s=300, what="ready after a stop")
            seconds["restart_to_ready_s"].append(ready_s)
        # leaving the block killed it
        with start_worker(job, cluster) as running:
            ready_s = running.wait_until(job.ready_file.exists, within_s=300, what="ready after a kill")
            seconds["restart_to_ready_after_kill_s"].append(ready_s)
            seconds["stop_s"].append(running.stop())
    medians = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    return medians | {"runs": {name: [round(value, 2) for value in values] for name, values in seconds.items()}}


def run(n: int, console: Console) -> dict[str, Any]:
    """Memory and restarts of one worker that scores *n* events, and as many before them."""
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        job = Job(OURS, "memory", "memory.features", WORKLOADS["a"], Path(folder), label_horizon_s=HORIZON_S)
        cluster.create(job.features, LOG_APPEND_TIME | KEEP_LITTLE)
        publish(job, cluster)
        with start_worker(job, cluster) as running:
            first_s = running.wait_until(job.ready_file.exists, within_s=120, what="ready")
            started_s = time.monotonic()
            with Feeder(cluster, job, 2 * n) as feeder:
                samples = watch(running, feeder, console)
            seconds = time.monotonic() - started_s
            extra = cluster.written(job.predictions) - 2 * n
            if extra:
                raise Unfit(f"{extra} predictions too many")
            running.stop()
        return {
            "events": n,
            "events_before": n,
            "labels": feeder.labels,
            "seconds": round(seconds, 1),
            "first_start_to_ready_s": round(first_s, 2),
            "memory": judged(samples, n),
            "restart": restarts(cluster, job),
            "samples": [asdict(sample) for sample in samples],
        }


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description="Memory over many events, and restarts.")
    parser.add_argument("--quick", action="store_true", help="200,000 events; kept apart from full results")
    parser.add_argument("--events", type=int, help="how many are judged (5,000,000; quick: 200,000)")
    arguments = parser.parse_args()
    n = arguments.events or (200_000 if arguments.quick else 5_000_000)
    result = surroundings(full=n >= 5_000_000)
    console = Console()
    result |= run(n, console)
    memory, restart = result["memory"], result["restart"]
    console.print(
        f"{n:,} events, and as many before them, in {result['seconds']} s:\n"
        f"{memory['resident_bytes_median'] / 1e6:,.0f} MB in the middle, "
        f"{memory['resident_bytes_max'] / 1e6:,.0f} MB at most, growth {memory['growth']:+.1%} "
        f"({'flat' if memory['flat'] else 'not flat'})\n"
        f"ready {result['first_start_to_ready_s']} s after the first start, {restart['restart_to_ready_s']} s after a "
        f"restart, {restart['restart_to_ready_after_kill_s']} s after a kill; an orderly end took {restart['stop_s']} s"
    )
    console.print(f"kept in {write('memory', result)}")


if __name__ == "__main__":
    told(main)
