"""What an event costs a worker, and how that changes: with more workers, features, trees, bytes and partitions.

    workers  1, 2 and 4 on 8 partitions, judged by processor time per event: at four at most 1.3 times that of one
    curves   cost against one size, all else as in workload (a); a curve is told to have a cliff by benchmarks/cliffs.py
    memory   a worker with a model and nothing to do; the same worker with more to do than it can, until all is counted

Each run is a new group of workers on a topic that was filled before. Cost is the processor time of the workers alone,
per event: between a tenth of the predictions and the last, and then until the counts have caught up, since counting
goes second (docs/decisions/0008). What a worker takes for being there is measured when it has come to rest, and is
taken off the second part, in which it waits for the counts to be published. Rounds go through all points in turn, so
that a slow minute of the machine does not fall on one of them; medians count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.cliffs import FLAT, JUMP, NOISE, cliffs
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster
from benchmarks.group import Group
from benchmarks.processes import Unfit, told
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, Job
from benchmarks.variations import CURVES, QUICK_CURVES, Curve, Point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORKERS = (1, 2, 4)
WORKERS_AT = Point(partitions=8)
WORKERS_GOAL = 1.3
"""Times the cost per event of one worker."""
WARM_UP = 0.1
"""Share of the records before the cost is taken: a model is loaded, caches are filled."""
LEAST = 12_000
"""Records of a point: fewer are gone before they can be watched."""
TRIES = 3
REST_S = 2.0
SETTLE_S = 5.0
"""Until a worker that has just become ready is at rest."""
WITHIN_S = 600.0


@dataclass(frozen=True)
class Lengths:
    """How much a run measures."""

    rounds: int
    curves: tuple[Curve, ...]
    curve_events: float
    """Share of each point's records."""
    worker_events: int
    memory_events: int


FULL = Lengths(3, CURVES, 1.0, 800_000, 600_000)
QUICK = Lengths(1, QUICK_CURVES, 0.15, 60_000, 40_000)


@dataclass(frozen=True)
class Cost:
    """What one run came to."""

    events_per_s: float
    cpu_us_per_event: float
    """All of it: scored and counted."""
    scored_cpu_us_per_event: float
    """Until the last event was predicted, with whatever was counted meanwhile."""
    idle_cpu_percent: float
    """Of one core, at rest in the end, all workers together."""
    resident_bytes_before: int
    """Of the largest worker: with its partitions, before the first event."""
    resident_bytes_max: int


@dataclass(frozen=True)
class Filled:
    """A topic of records, and what they are."""

    point: Point
    topic: str
    n: int
    cluster: Cluster
    bytes_per_record: int
    model_bytes: int


def filled(point: Point, n: int, broker: str, topic: str) -> Filled:
    """A topic with *n* records of *point*."""
    cluster = Cluster(broker, partitions=point.partitions)
    work = point.workload
    make = work.record_maker()
    cluster.create(topic, LOG_APPEND_TIME)
    cluster.fill(topic, make, range(n))
    mean = statistics.mean(len(make(number)[1]) for number in range(100))
    return Filled(point, topic, n, cluster, round(mean), work.trained_model().stat().st_size)


def cost(on: Filled, name: str, n_workers: int, folder: Path) -> Cost:
    """What it costs to score and count all of a topic; looked at again where too little of it was seen."""
    for attempt in range(TRIES):
        found = tried(on, f"{name}-{attempt}", n_workers, folder)
        if found:
            return found
    raise Unfit(f"{name}: {on.n} records were predicted before anybody looked, {TRIES} times")


def tried(on: Filled, name: str, n_workers: int, folder: Path) -> Cost | None:
    """The cost with a new group of workers; None when more than half of the records were gone before the window."""
    job = Job(OURS, name, on.topic, on.point.workload, folder)
    with Group(job, on.cluster, n_workers) as group:
        before = resident = group.resident_bytes()

        def at_least(n: int) -> bool:
            nonlocal resident
            resident = max(resident, group.resident_bytes())
            return group.predicted() >= n

        group.activate()
        group.wait_until(lambda: at_least(int(WARM_UP * on.n)), within_s=WITHIN_S, what="warming up", every_s=0.01)
        began_s, began_cpu_s, began = time.monotonic(), group.cpu_s(), group.predicted()
        group.wait_until(lambda: at_least(on.n), within_s=WITHIN_S, what="the last prediction", every_s=0.02)
        seconds, scored_cpu_s, events = time.monotonic() - began_s, group.cpu_s() - began_cpu_s, on.n - began
        if group.predicted() != on.n:
            raise Unfit(f"{name}: {group.predicted()} predictions of {on.n} records")
        if events < on.n / 2:
            return None
        last_s, last_cpu_s = time.monotonic(), group.cpu_s()
        group.wait_until(lambda: group.counted() >= on.n, within_s=WITHIN_S, what="the last count", every_s=0.5)
        counted_s, counted_cpu_s = time.monotonic(), group.cpu_s()
        resident = max(resident, group.resident_bytes())
        time.sleep(REST_S)
        idle = (group.cpu_s() - counted_cpu_s) / (time.monotonic() - counted_s)
        after_cpu_s = max(counted_cpu_s - last_cpu_s - idle * (counted_s - last_s), 0.0)
    on.cluster.delete(job.predictions)
    return Cost(
        events_per_s=round(events / seconds, 1),
        cpu_us_per_event=round((scored_cpu_s / events + after_cpu_s / on.n) * 1e6, 2),
        scored_cpu_us_per_event=round(scored_cpu_s / events * 1e6, 2),
        idle_cpu_percent=round(idle * 100, 2),
        resident_bytes_before=before,
        resident_bytes_max=resident,
    )


def memory(broker: str, n: int, folder: Path) -> dict[str, int]:
    """Bytes in RAM of one worker at rest and while more waits than it can score."""
    point = Point()
    cluster = Cluster(broker)
    job = Job(OURS, "memory", "memory.features", point.workload, folder)
    cluster.create(job.features, LOG_APPEND_TIME)
    make = job.workload.record_maker()
    with Group(job, cluster, 1) as group:
        group.activate()
        time.sleep(SETTLE_S)
        rest = group.resident_bytes()
        cluster.fill(job.features, make, range(n))
        samples: list[int] = []

        def all_counted() -> bool:
            samples.append(group.resident_bytes())
            return group.counted() >= n

        group.wait_until(all_counted, within_s=WITHIN_S, what="the last count", every_s=0.5)
    cluster.delete(job.features, job.predictions)
    return {
        "events": n,
        "rest_resident_bytes": rest,
        "load_resident_bytes_median": round(statistics.median(samples)),
        "load_resident_bytes_max": max(samples),
    }


def medians(runs: Sequence[Cost]) -> dict[str, Any]:
    """The median of each figure, and the runs."""
    rows = [asdict(run) for run in runs]
    return {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]} | {"runs": rows}


def run(lengths: Lengths, console: Console) -> dict[str, Any]:
    """Everything, on one Kafka."""
    points = list(dict.fromkeys(point for curve in lengths.curves for point in curve.points))
    n_of = {point: max(LEAST, int(lengths.curve_events * point.n_records)) for point in points}
    costs: dict[Point, list[Cost]] = {point: [] for point in points}
    by_workers: dict[int, list[Cost]] = {n: [] for n in WORKERS}
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as path:
        folder, broker = Path(path), kafka.bootstrap
        console.print("training models, filling topics")
        topics = [filled(point, n_of[point], broker, f"curves-{point.name}") for point in points]
        shared = filled(WORKERS_AT, lengths.worker_events, broker, "workers")
        resident = memory(broker, lengths.memory_events, folder)
        console.print(f"memory: {resident}")
        for number in range(1, lengths.rounds + 1):
            for n_workers in WORKERS:
                by_workers[n_workers].append(one := cost(shared, f"workers-{n_workers}-{number}", n_workers, folder))
                console.print(f"round {number}  {n_workers} workers  {line(one)}")
            for on in topics:
                costs[on.point].append(one := cost(on, f"{on.topic}-{number}", 1, folder))
                console.print(f"round {number}  {on.point.name:<22}  {line(one)}")
    of = {
        on.point: {"events": on.n, "record_bytes": on.bytes_per_record, "model_bytes": on.model_bytes} for on in topics
    }
    return {
        "rounds": lengths.rounds,
        "base": asdict(replace(Point(), partitions=N_PARTITIONS)),
        "workers": judged_workers(by_workers, shared),
        "curves": {
            curve.field: judged_curve(curve, [{**asdict(p), **of[p], **medians(costs[p])} for p in curve.points])
            for curve in lengths.curves
        },
        "memory": resident,
    }


def judged_workers(runs: dict[int, list[Cost]], on: Filled) -> dict[str, Any]:
    """Each number of workers, and whether four cost no more per event than they may."""
    rows = {str(n): medians(costs) for n, costs in runs.items()}
    for row in rows.values():
        row["cost_to_one"] = round(row["cpu_us_per_event"] / rows["1"]["cpu_us_per_event"], 3)
    most = max(rows, key=int)
    return {
        "partitions": on.point.partitions,
        "events": on.n,
        "by_number": rows,
        "goal": WORKERS_GOAL,
        "met": rows[most]["cost_to_one"] <= WORKERS_GOAL,
    }


def judged_curve(curve: Curve, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The points of a curve and its cliffs."""
    key = "record_bytes" if curve.field == "padding_bytes" else curve.field
    found = cliffs([row[key] for row in rows], [row["cpu_us_per_event"] for row in rows], grows=curve.grows)
    return {
        "what": curve.what,
        "size": key,
        "rule": (
            f"a unit costs at most {JUMP:g} times what it cost before, beyond {NOISE:.0%} of noise"
            if curve.grows
            else f"at most {FLAT:g} times the first cost"
        ),
        "cliffs": found,
        "points": rows,
    }


def line(one: Cost) -> str:
    """A run for people."""
    return (
        f"{one.events_per_s:>9,.0f} events/s  {one.cpu_us_per_event:>8.2f} CPU µs/event  "
        f"{one.resident_bytes_max / 1e6:>5,.0f} MB"
    )


def rows_of(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What is varied, its size and the figures."""
    for number, row in result["workers"]["by_number"].items():
        yield "workers", number, row
    for curve in result["curves"].values():
        for row in curve["points"]:
            yield curve["size"], f"{row[curve['size']]:,}", row


def show(result: dict[str, Any], console: Console) -> None:
    """Print medians and verdicts."""
    table = Table(title="one worker of ours unless said otherwise")
    for heading in ("varied", "size", "events/s", "CPU µs/event", "of it scored", "MB before", "MB at most"):
        table.add_column(heading, justify="left" if heading == "varied" else "right")
    for varied, size, row in rows_of(result):
        megabytes = (f"{row[key] / 1e6:,.0f}" for key in ("resident_bytes_before", "resident_bytes_max"))
        cells = (f"{row[key]:,.1f}" for key in ("cpu_us_per_event", "scored_cpu_us_per_event"))
        table.add_row(varied, size, f"{row['events_per_s']:,.0f}", *cells, *megabytes)
    console.print(table)
    workers = result["workers"]
    most = max(workers["by_number"], key=int)
    console.print(
        f"{most} workers: {workers['by_number'][most]['cost_to_one']} times the cost per event of one "
        f"(goal: at most {workers['goal']}, {'met' if workers['met'] else 'missed'})"
    )
    for field, curve in result["curves"].items():
        console.print(f"{field}: " + ("; ".join(curve["cliffs"]) or "no cliff"))


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description="Cost per event against sizes and workers.")
    parser.add_argument("--quick", action="store_true", help="one short round; kept apart from full results")
    arguments = parser.parse_args()
    result = surroundings(full=not arguments.quick)
    console = Console()
    result |= run(QUICK if arguments.quick else FULL, console)
    show(result, console)
    console.print(f"kept in {write('scale', result)}")


if __name__ == "__main__":
    told(main)
