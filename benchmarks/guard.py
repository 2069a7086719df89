"""Whether our worker has become far slower than a bare loop on the same machine: one line, and status 1 if it has.

A guard against a mistake, not a measurement: workload (a), two short rounds of each, the better of the two counts. The
floor is generous because machines that run tests are busy, and it is a ratio because they are not alike.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from app.embedded import EmbeddedKafka
from benchmarks.cluster import LOG_APPEND_TIME, Cluster
from benchmarks.peers.scoring import Scoring
from benchmarks.processes import told
from benchmarks.rates import Window, compare, measure
from benchmarks.systems import LOOP, OURS, Job, start
from benchmarks.workloads import WORKLOADS

FLOOR = 0.4
"""Of the bare aiokafka loop's events per second; docs/performance.md has what a whole measurement gives."""
ROUNDS = 2
WINDOW = Window(n=200_000, warm_up_s=2.0, longest_s=4.0)
FEATURES = "guard.features"


def main() -> None:
    """Measure both in turn, and say how they compare."""
    workload = WORKLOADS["a"]
    scoring = Scoring(workload.trained_model(), workload.shape)
    best = {OURS: 0.0, LOOP: 0.0}
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        cluster.create(FEATURES, LOG_APPEND_TIME)
        cluster.fill(FEATURES, workload.record_maker(), range(WINDOW.n))
        for number in range(ROUNDS):
            for system in (OURS, LOOP):
                job = Job(system, f"guard-{system}-{number}", FEATURES, workload, Path(folder))
                with start(job, cluster) as running:
                    rate = measure(running, cluster, job, WINDOW)
                compare(cluster, job, scoring)
                best[system] = max(best[system], rate.events_per_s)
    ratio = best[OURS] / best[LOOP]
    said = f"{best[OURS]:,.0f} events/s, {ratio:.2f} times the bare aiokafka loop; the floor is {FLOOR}"
    if ratio < FLOOR:
        sys.exit(f"too slow: {said}")
    print(f"speed: {said}", flush=True)


if __name__ == "__main__":
    told(main)
