"""Events per second of one worker beside stream processors and hand-written loops, on the same bytes and Kafka.

For each workload a features topic is filled once. In every round each system reads it from the beginning under a new
group, alone on the machine but for the broker, and an observer watches the end offsets of its predictions topic, so
nobody's own counters are believed and starting up is not in the rate (`benchmarks.rates.measure`). The order changes
from round to round. Afterwards a sample of the predictions is compared with a scoring here: a system that is fast and
wrong is not recorded.

What a run takes at most, in seconds: 4.5 for starting, publishing a model, comparing; the warm-up; the window. Fast
systems are through with the records before that.

    full   a   5 rounds x 10 systems x (4.5 + 5 + 12)   17.9 minutes
           b   3 rounds x  8 systems x (4.5 + 5 + 7)     6.6
           c   3 rounds x  5 systems x (4.5 + 5 + 7)     4.1
           d   3 rounds x  5 systems x (4.5 + 5 + 7)     4.1
           e   3 rounds x  8 systems x (4.5 + 5 + 7)     6.6
           f   3 rounds x  4 systems x (4.5 + 5 + 7)     3.3, in all 42.6, which are cut to 39
    quick  a   1 round  x 10 systems x (4.5 + 1.5 + 4)   1.7
           e   1 round  x  8 systems x (4.5 + 1.5 + 4)   1.3, in all 3.0, which are cut to 2.7

Both end in time whatever the machine and the number of systems: where time runs out, windows become shorter
(`Deadline`), and each run's is recorded. What has to be installed or compiled the first time comes before the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster
from benchmarks.peers.scoring import Scoring
from benchmarks.processes import Unfit, told
from benchmarks.rates import Rate, Window, compare, measure
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, SYSTEMS, Job, prepare, start, systems_on
from benchmarks.workloads import WORKLOADS, Workload

AROUND_S = 4.5
"""What a run takes beside warm-up and window."""
SHORTEST_S = 1.0
"""A window is no shorter, however late it is."""
WITHIN_S, QUICK_WITHIN_S = 39 * 60.0, 165.0
QUICK_RECORDS = {"a": 300_000, "e": 40_000}
"""Of the workloads of a short look."""

Rates = dict[str, list[Rate]]
"""The runs of each system."""


@dataclass(frozen=True)
class Plan:
    """What is to be run of one workload."""

    workload: Workload
    systems: tuple[str, ...]
    rounds: int
    n: int
    """Events on the topic."""
    warm_up_s: float
    window_s: float

    @property
    def run_s(self) -> float:
        """What one run takes at most."""
        return AROUND_S + self.warm_up_s + self.window_s

    @property
    def features(self) -> str:
        """The topic of the records."""
        return f"bench-{self.workload.letter}.features"

    def turns(self) -> Iterator[tuple[int, str]]:
        """Round and system, each round beginning with another system."""
        for number in range(1, self.rounds + 1):
            first = (number - 1) % len(self.systems)
            for system in self.systems[first:] + self.systems[:first]:
                yield number, system


class Deadline:
    """Cuts the windows of the runs to come where the plans would not end in time."""

    def __init__(self, within_s: float, plans: Sequence[Plan]) -> None:
        self._ends_s = time.monotonic() + within_s
        self._needed_s = sum(plan.rounds * len(plan.systems) * plan.run_s for plan in plans)

    def window_s(self, plan: Plan) -> float:
        """The window of the next run, which is one of *plan*."""
        share = (self._ends_s - time.monotonic()) / self._needed_s
        self._needed_s -= plan.run_s
        return min(plan.window_s, max(SHORTEST_S, share * plan.run_s - AROUND_S - plan.warm_up_s))


def run(plan: Plan, cluster: Cluster, deadline: Deadline, folder: Path, console: Console) -> Rates:
    """All rounds of *plan*."""
    workload = plan.workload
    scoring = Scoring(workload.trained_model(), workload.shape)
    rates: Rates = {system: [] for system in plan.systems}
    console.print(f"({workload.letter}) {workload.about}: filling a topic with {plan.n:,} events")
    cluster.create(plan.features, LOG_APPEND_TIME)
    cluster.fill(plan.features, workload.record_maker(), range(plan.n // workload.rows_per_record))
    for number, system in plan.turns():
        job = Job(system, f"bench-{workload.letter}-{system}-{number}", plan.features, workload, folder)
        window = Window(plan.n, plan.warm_up_s, deadline.window_s(plan))
        with start(job, cluster) as running:
            rate = measure(running, cluster, job, window)
        compare(cluster, job, scoring)
        cluster.delete(job.predictions)
        rates[system].append(rate)
        console.print(f"({workload.letter}) round {number}  {system:<30} {rate.events_per_s:>10,.0f} events/s")
    cluster.delete(plan.features)
    return rates


def medians(rates: Rates) -> dict[str, dict[str, Any]]:
    """For each system the medians of its runs, lowest and highest, the ratio to ours, and the runs themselves."""
    summary: dict[str, dict[str, Any]] = {}
    ours = statistics.median(rate.events_per_s for rate in rates[OURS]) if rates.get(OURS) else None
    for system, runs in rates.items():
        events_per_s = [rate.events_per_s for rate in runs]
        median = statistics.median(events_per_s)
        cpu_us = statistics.median(rate.cpu_us_per_event for rate in runs)
        summary[system] = {
            "events_per_s": round(median, 1),
            "events_per_s_min": min(events_per_s),
            "events_per_s_max": max(events_per_s),
            **({"ours_to_this": round(ours / median, 3)} if ours else {}),
            "events_per_cpu_s": round(1e6 / cpu_us, 1),
            "cpu_us_per_event": round(cpu_us, 2),
            "first_prediction_s": round(statistics.median(rate.first_prediction_s for rate in runs), 2),
            "runs": [asdict(rate) for rate in runs],
        }
    return summary


def show(workload: Workload, summary: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print the medians, the fastest first, and the words of the installer for what is missing."""
    table = Table(title=f"({workload.letter}) {workload.about}")
    for heading in ("system", "events/s", "min - max", "per CPU-s", "ours is x"):
        table.add_column(heading, justify="left" if heading == "system" else "right", no_wrap=True)
    for system, row in sorted(summary.items(), key=lambda item: -item[1].get("events_per_s", 0)):
        if "missing" in row:
            table.add_row(system, "missing")
            continue
        table.add_row(
            system,
            f"{row['events_per_s']:,.0f}",
            f"{row['events_per_s_min']:,.0f} - {row['events_per_s_max']:,.0f}",
            f"{row['events_per_cpu_s']:,.0f}",
            f"{row['ours_to_this']:.2f}" if "ours_to_this" in row else "",
        )
    console.print(table)
    for system, row in summary.items():
        if "missing" in row:
            console.print(f"{system} is missing: {row['missing']}", markup=False)


def planned(arguments: argparse.Namespace, missing: Mapping[str, str]) -> list[Plan]:
    """What is to be run, without what is missing."""
    plans = []
    for letter in arguments.workloads:
        workload = WORKLOADS[letter]
        systems = tuple(s for s in systems_on(workload) if s in arguments.systems and s not in missing)
        n = arguments.records or workload.n_records
        if arguments.quick:
            n = arguments.records or QUICK_RECORDS.get(letter, 100_000 if workload.rows_per_record == 1 else 1_000_000)
        n -= n % workload.rows_per_record
        if arguments.quick:
            plans.append(Plan(workload, systems, arguments.rounds or 1, n, 1.5, 4.0))
        else:
            rounds, window_s = (5, 12.0) if letter == "a" else (3, 7.0)
            plans.append(Plan(workload, systems, arguments.rounds or rounds, n, 5.0, window_s))
    return [plan for plan in plans if plan.systems]


def is_whole(arguments: argparse.Namespace) -> bool:
    """Whether nothing was left out or shortened by *arguments*."""
    everything = set(arguments.workloads) == set(WORKLOADS) and set(arguments.systems) == set(SYSTEMS)
    return everything and not arguments.quick and (arguments.rounds or 5) >= 5 and arguments.records is None


def parsed() -> argparse.Namespace:
    """The command line; what is unknown ends it."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description="Events per second, beside others.")
    parser.add_argument(
        "--quick", action="store_true", help="(a) and (e), one short round; kept apart from full results"
    )
    parser.add_argument("--workloads", help=f"which, separated by commas (quick: a,e), of {','.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, help="rounds over all systems (5 on (a), 3 on the others; quick: 1)")
    parser.add_argument("--records", type=int, help="events on each topic (1,000,000 on (a))")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which, separated by commas")
    arguments = parser.parse_args()
    arguments.workloads = (arguments.workloads or ",".join(QUICK_RECORDS if arguments.quick else WORKLOADS)).split(",")
    arguments.systems = arguments.systems.split(",")
    for chosen, known in ((arguments.workloads, WORKLOADS), (arguments.systems, SYSTEMS)):
        if unknown := set(chosen) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return arguments


def main() -> None:
    """Measure, print, and keep the result."""
    arguments = parsed()
    console = Console()
    result = surroundings(full=is_whole(arguments))
    result["workloads"] = {}
    with tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as name:
        folder = Path(name)
        missing, versions = prepare(arguments.systems, folder)
        result["versions"] |= versions
        plans = planned(arguments, missing)
        if not plans:
            raise Unfit(f"none of these systems runs on these workloads, or all are missing: {missing}")
        for plan in plans:
            plan.workload.trained_model()
        with EmbeddedKafka.start() as kafka:
            cluster = Cluster(kafka.bootstrap)
            deadline = Deadline(QUICK_WITHIN_S if arguments.quick else WITHIN_S, plans)
            for plan in plans:
                workload = plan.workload
                summary = medians(run(plan, cluster, deadline, folder, console))
                summary |= {s: {"missing": missing[s]} for s in systems_on(workload) if s in missing}
                show(workload, summary, console)
                sizes = {"records": plan.n, "rounds": plan.rounds, "partitions": N_PARTITIONS}
                result["workloads"][workload.letter] = {"about": workload.about, **sizes, **summary}
    console.print(f"kept in {write('throughput', result)}")


if __name__ == "__main__":
    told(main)
