"""Events per second of one worker beside stock Faust and hand-written loops, same records, same model, same Kafka.

A features topic is filled once. In every round each system reads it from the beginning under a new group, alone on the
machine but for the broker, and an observer watches the end offsets of its predictions topic. The rate is taken between
20 % of the records (or five seconds after the first prediction, for the slow) and the last record (or thirty seconds
later), so that starting up is not in it and nobody's own counters are believed. The order changes from round to round.
Afterwards a sample of the predictions is compared with a scoring here: a system that is fast and wrong is not recorded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster
from benchmarks.peers.scoring import Scoring
from benchmarks.processes import Running, Unfit, cpu_seconds, told
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, OURS_EXACTLY_ONCE, SYSTEMS, Job, start
from benchmarks.workloads import WORKLOADS

FEATURES = "bench.features"
WARM_UP = 0.2
"""Share of the records before the rate is taken."""
WARM_UP_S = 5.0
"""Time after the first prediction at which the rate is taken even if the share is not reached."""
N_COMPARED = 500
"""Predictions of each partition that are compared with a scoring here."""


MARKERS = 0.01
"""Share of the offsets that transactions may take for themselves: one for each and partition."""


@dataclass(frozen=True)
class Rate:
    """What one run of one system came to."""

    events: int
    """Predictions written within the window."""
    seconds: float
    events_per_s: float
    cpu_us_per_event: float
    """Processor time of the system's process, over the window."""
    first_prediction_s: float
    """From the start of the process to the first prediction that could be seen."""


def measure(running: Running, cluster: Cluster, job: Job, *, n: int, window_s: float) -> Rate:
    """The rate of a system just started on a topic of *n* records; Unfit if it does not do its work."""

    def written() -> int:
        return cluster.written(job.predictions)

    first_s = running.wait_until(lambda: written() > 0, within_s=120, what="the first prediction")
    warm_from_s = time.monotonic() + WARM_UP_S
    running.wait_until(
        lambda: written() >= WARM_UP * n or time.monotonic() > warm_from_s, within_s=600, what="warming up"
    )
    began_s, began_cpu_s, began = time.monotonic(), cpu_seconds(running.pid), written()
    running.wait_until(
        lambda: written() >= n or time.monotonic() > began_s + window_s, within_s=window_s + 60, what="the window"
    )
    seconds, cpu_s, events = time.monotonic() - began_s, cpu_seconds(running.pid) - began_cpu_s, written() - began
    if events <= 0 or written() > n * (1 + MARKERS if job.system == OURS_EXACTLY_ONCE else 1):
        raise Unfit(f"{job.system} wrote {written()} predictions for {n} records\n{running.last_lines()}")
    return Rate(
        events=events,
        seconds=round(seconds, 3),
        events_per_s=round(events / seconds, 1),
        cpu_us_per_event=round(cpu_s / events * 1e6, 2),
        first_prediction_s=round(first_s, 2),
    )


def compare(cluster: Cluster, job: Job, scoring: Scoring) -> None:
    """Unfit unless the first predictions of *job* say what a scoring of their records here says."""
    records = cluster.sample(job.features, N_COMPARED)
    values = scoring.score([r.value() or b"" for r in records], [r.timestamp()[1] for r in records])
    expected = {answer["id"]: answer for answer in map(json.loads, values)}
    predictions = [json.loads(message.value() or b"") for message in cluster.sample(job.predictions, N_COMPARED)]
    known = [prediction for prediction in predictions if prediction["id"] in expected]
    if len(known) < N_COMPARED:
        raise Unfit(f"{job.system}: {len(known)} of {len(predictions)} predictions are of the first records")
    for prediction in known:
        wanted = expected[prediction["id"]]
        same = ("version", "prediction", "event_at")
        if abs(prediction["score"] - wanted["score"]) > 1e-5 or any(prediction[k] != wanted[k] for k in same):
            raise Unfit(f"{job.system} predicted {prediction} where a scoring here gives {wanted}")


def run(*, n: int, rounds: int, window_s: float, systems: tuple[str, ...], console: Console) -> dict[str, list[Rate]]:
    """The runs of each of *systems*."""
    workload = WORKLOADS["a"]
    scoring = Scoring(workload.trained_model(), workload.shape)
    rates: dict[str, list[Rate]] = {system: [] for system in systems}
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        cluster.create(FEATURES, LOG_APPEND_TIME)
        console.print(f"filling a topic with {n:,} records")
        cluster.fill(FEATURES, workload.record_maker(), range(n))
        for number in range(1, rounds + 1):
            turn = (number - 1) % len(systems)
            for system in systems[turn:] + systems[:turn]:
                job = Job(system, f"bench-{system}-{number}", FEATURES, workload, Path(folder))
                with start(job, cluster) as running:
                    rate = measure(running, cluster, job, n=n, window_s=window_s)
                compare(cluster, job, scoring)
                cluster.delete(job.predictions)
                rates[system].append(rate)
                console.print(f"round {number}  {system:<17} {rate.events_per_s:>10,.0f} events/s")
    return rates


def medians(rates: dict[str, list[Rate]]) -> dict[str, dict[str, object]]:
    """For each system the medians of its runs, the ratio to ours, and the runs themselves."""
    summary: dict[str, dict[str, object]] = {}
    ours = statistics.median(rate.events_per_s for rate in rates[OURS]) if rates.get(OURS) else None
    for system, runs in rates.items():
        median = statistics.median(rate.events_per_s for rate in runs)
        summary[system] = {
            "events_per_s": round(median, 1),
            **({"ours_to_this": round(ours / median, 3)} if ours else {}),
            "cpu_us_per_event": round(statistics.median(rate.cpu_us_per_event for rate in runs), 2),
            "first_prediction_s": round(statistics.median(rate.first_prediction_s for rate in runs), 2),
            "runs": [asdict(rate) for rate in runs],
        }
    return summary


def show(summary: dict[str, dict[str, object]], console: Console) -> None:
    """Print the medians."""
    table = Table(title="30 JSON features, 100 boosted trees, one process each, Kafka on the same machine")
    for heading in ("system", "events/s", "ours to this", "CPU µs/event", "first prediction s"):
        table.add_column(heading, justify="left" if heading == "system" else "right")
    for system, row in sorted(summary.items(), key=lambda item: -float(str(item[1]["events_per_s"]))):
        ratio = row.get("ours_to_this", "")
        cells = (row["cpu_us_per_event"], row["first_prediction_s"])
        table.add_row(system, f"{row['events_per_s']:,.0f}", str(ratio), *map(str, cells))
    console.print(table)


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description="Events per second, beside others.")
    parser.add_argument("--quick", action="store_true", help="one short round; kept apart from full results")
    parser.add_argument("--rounds", type=int, help="rounds over all systems (5; quick: 1)")
    parser.add_argument("--records", type=int, help="records on the topic (1,000,000; quick: 200,000)")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which, separated by commas")
    arguments = parser.parse_args()
    rounds, n, window_s = (1, 200_000, 8.0) if arguments.quick else (5, 1_000_000, 30.0)
    rounds, n = arguments.rounds or rounds, arguments.records or n
    systems = tuple(arguments.systems.split(","))
    is_full = not arguments.quick and set(systems) == set(SYSTEMS) and rounds >= 5 and n >= 1_000_000
    result = surroundings(full=is_full)
    console = Console()
    rates = run(n=n, rounds=rounds, window_s=window_s, systems=systems, console=console)
    summary = medians(rates)
    show(summary, console)
    sizes = {"records": n, "rounds": rounds, "partitions": N_PARTITIONS, "features": 30, "trees": 100}
    result["workloads"] = {"a": {"what": "JSON to prediction, topic filled beforehand", **sizes, **summary}}
    console.print(f"kept in {write('throughput', result)}")


if __name__ == "__main__":
    told(main)
