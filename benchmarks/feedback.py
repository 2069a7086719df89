"""How many labels a worker joins and tallies while it scores: an open loop of events and, later, a label for each.

    events   events alone, at 20,000/s: what one costs
    goal     the same, and labels at 20,000/s that follow their events by three seconds, for a minute
    steps    both at 10,000/s, 20,000/s, 30,000/s and so on, until a rate is not carried

A rate is carried if what waits does not grow: a line through the number of events without a prediction and of labels
without an outcome, looked at once a second, rises by less than 2 % of the rate, and in the end no more waits than
comes in two seconds. Predictions are counted by the end of their topic, outcomes by the worker's `/metrics`. In the end
all must have been counted exactly, as `/api/performance` says: each event predicted once, each label joined.
Events and labels are sent by a process each.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster
from benchmarks.open_loop import AHEAD_S, Plan, Sender
from benchmarks.processes import Running, Unfit, cpu_seconds, resident_bytes, told
from benchmarks.report import surroundings, write
from benchmarks.starts import ask, free_port
from benchmarks.systems import OURS, Job, publish, start_worker
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.open_loop import Maker

GOAL_PER_S = 20_000
DELAY_S = 3.0
"""A label follows its event by so much."""
LEAD_IN_S = 2.0
"""With both flowing, before it counts."""
SAMPLE_S = 1.0
GROWTH = 0.02
"""Of the rate: what waits may grow by less."""
WAITING_S = 2.0
"""What comes in so long may wait in the end."""
SENDER_LATE_S = 1.0
"""A sender that is later than this did not keep the rate."""
DRAIN_WITHIN_S = 300.0
OUTCOMES = re.compile(r'^faust_onnx_labels_total\{[^}]*state="([a-z_]+)"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Lengths:
    """Seconds that are measured of each phase."""

    events_s: float
    goal_s: float
    step_s: float
    highest: int
    """The last step, events and labels per second."""


FULL = Lengths(20.0, 60.0, 20.0, 100_000)
QUICK = Lengths(6.0, 8.0, 6.0, 20_000)


@dataclass(frozen=True)
class Sample:
    """What was done at one moment."""

    at_s: float
    cpu_s: float
    predicted: int
    outcomes: int
    """Labels that have a state."""
    waiting_events: int
    waiting_labels: int


@dataclass(frozen=True)
class Phase:
    """What a phase came to."""

    rate_per_s: int
    with_labels: bool
    seconds: float
    predicted_per_s: float
    outcomes_per_s: float
    cpu_percent: float
    """Of one core, the worker's."""
    cpu_us_per_event: float
    """With its label, if there are labels; from the first until all is counted, so that nothing is left out."""
    waiting_events: int
    """In the end."""
    waiting_labels: int
    growth_per_s: float
    """By which what waits has grown, both kinds together."""
    sender_latest_ms: float
    carried: bool
    resident_bytes: int


def make_events() -> Maker:
    """What makes events; called in the process that sends them."""
    return WORKLOADS["a"].record_maker()


def make_labels() -> Maker:
    """What makes labels, each under its event's key; the class is as good as a coin's."""
    make = WORKLOADS["a"].record_maker()

    def make_label(number: int) -> tuple[bytes, bytes]:
        return make(number)[0], b'{"id":"e-%d","label":%d}' % (number, number // 3 % 2)

    return make_label


class Bench:
    """A worker, and the two senders that feed it."""

    def __init__(self, job: Job, cluster: Cluster, running: Running, events: Sender, labels: Sender) -> None:
        self._job, self._cluster, self._running = job, cluster, running
        self._events, self._labels = events, labels
        self.n_events = self.n_labels = 0
        """Sent so far."""

    def phase(self, rate: int, seconds: float, *, with_labels: bool) -> Phase:
        """Send at *rate*, and look on for *seconds* once all flows; then wait until nothing waits any more."""
        lead_s = (DELAY_S if with_labels else 0.0) + LEAD_IN_S
        before_cpu_s = cpu_seconds(self._running.pid)
        begins_s = time.monotonic() + AHEAD_S
        plan = Plan(self._job.features, rate, begins_s, self.n_events, int(rate * (lead_s + seconds)))
        senders = [self._events]
        self._events.begin(plan)
        if with_labels:
            senders.append(self._labels)
            self._labels.begin(replace(plan, topic=self._job.labels, begins_s=begins_s + DELAY_S))
        samples = list(self._watch(begins_s + lead_s, begins_s + lead_s + seconds))
        resident = resident_bytes(self._running.pid)
        latest_s = max(sender.finish(within_s=DELAY_S + 120).latest_s for sender in senders)
        self.n_events += plan.n
        self.n_labels += plan.n if with_labels else 0
        self._drain()
        cpu_us = (cpu_seconds(self._running.pid) - before_cpu_s) / plan.n * 1e6
        found = judged(rate, samples, latest_s)
        return Phase(**found, with_labels=with_labels, cpu_us_per_event=round(cpu_us, 2), resident_bytes=resident)

    def totals(self) -> tuple[int, int]:
        """How many events are counted as predicted and how many labels as joined, exactly."""
        status, page = ask(f"http://{self._job.http}/api/performance")
        if status != 200:
            raise Unfit(f"/api/performance answers {status}: {page}")
        return page["total"]["predicted"], page["labels"].get("joined", 0)

    def outcomes(self) -> dict[str, int]:
        """How many labels ended in each state, as the worker counts them."""
        with urllib.request.urlopen(f"http://{self._job.http}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {state: int(float(n)) for state, n in OUTCOMES.findall(text)}

    def _watch(self, from_s: float, until_s: float) -> Iterator[Sample]:
        """Samples between two moments of the monotonic clock."""
        time.sleep(max(from_s - time.monotonic(), 0.0))
        while True:
            self._running.check()
            yield self._sample()
            if time.monotonic() >= until_s:
                return
            time.sleep(SAMPLE_S)

    def _sample(self) -> Sample:
        sent = [self._cluster.written(topic) for topic in (self._job.features, self._job.labels)]
        predicted, outcomes = self._cluster.written(self._job.predictions), sum(self.outcomes().values())
        return Sample(
            at_s=time.monotonic(),
            cpu_s=cpu_seconds(self._running.pid),
            predicted=predicted,
            outcomes=outcomes,
            waiting_events=max(sent[0] - predicted, 0),
            waiting_labels=max(sent[1] - outcomes, 0),
        )

    def _drain(self) -> None:
        """Wait until all is predicted and counted; Unfit when that takes too long, or there is more than was sent."""
        sent = (self.n_events, self.n_labels)
        give_up_s = time.monotonic() + DRAIN_WITHIN_S
        while (counted := self.totals()) != sent:
            self._running.check()
            if time.monotonic() > give_up_s or counted[0] > sent[0] or counted[1] > sent[1]:
                raise Unfit(f"counted are {counted} where {sent} were sent; {self.outcomes()}")
            time.sleep(SAMPLE_S)


def judged(rate: int, samples: list[Sample], latest_s: float) -> dict[str, Any]:
    """The figures of a window, and whether its rate was carried."""
    first, last = samples[0], samples[-1]
    seconds = last.at_s - first.at_s
    waiting = [sample.waiting_events + sample.waiting_labels for sample in samples]
    growth = statistics.linear_regression([sample.at_s for sample in samples], waiting).slope
    return {
        "rate_per_s": rate,
        "seconds": round(seconds, 2),
        "predicted_per_s": round((last.predicted - first.predicted) / seconds, 1),
        "outcomes_per_s": round((last.outcomes - first.outcomes) / seconds, 1),
        "cpu_percent": round((last.cpu_s - first.cpu_s) / seconds * 100, 1),
        "waiting_events": last.waiting_events,
        "waiting_labels": last.waiting_labels,
        "growth_per_s": round(growth, 1),
        "sender_latest_ms": round(latest_s * 1000, 1),
        "carried": latest_s < SENDER_LATE_S and growth < GROWTH * rate and waiting[-1] < WAITING_S * rate,
    }


def run(lengths: Lengths, console: Console) -> dict[str, Any]:
    """All phases on one worker."""
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        http = f"127.0.0.1:{free_port()}"
        job = Job(OURS, "feedback", "feedback.features", WORKLOADS["a"], Path(folder), http=http)
        cluster.create(job.features, LOG_APPEND_TIME)
        publish(job, cluster)
        with (
            start_worker(job, cluster) as running,
            Sender(cluster, make_events) as events,
            Sender(cluster, make_labels) as labels,
        ):
            running.wait_until(job.ready_file.exists, within_s=120, what="ready")
            bench = Bench(job, cluster, running, events, labels)
            bench.phase(GOAL_PER_S // 4, LEAD_IN_S, with_labels=True)  # connections, caches
            alone = bench.phase(GOAL_PER_S, lengths.events_s, with_labels=False)
            console.print(line("events", alone))
            goal = bench.phase(GOAL_PER_S, lengths.goal_s, with_labels=True)
            console.print(line("goal", goal))
            steps: list[Phase] = []
            for rate in range(10_000, lengths.highest + 1, 10_000):
                steps.append(bench.phase(rate, lengths.step_s, with_labels=True))
                console.print(line("step", steps[-1]))
                if not steps[-1].carried:
                    break
            counted = bench.outcomes()
    return {
        "events_alone": asdict(alone),
        "goal": {**asdict(goal), "goal_per_s": GOAL_PER_S, "met": goal.carried},
        "cpu_us_per_label": round(goal.cpu_us_per_event - alone.cpu_us_per_event, 2),
        "steps": [asdict(step) for step in steps],
        "carried_per_s": max((step.rate_per_s for step in steps if step.carried), default=0),
        "labels_by_state": counted,
        "partitions": N_PARTITIONS,
    }


def line(name: str, phase: Phase) -> str:
    """A phase for people."""
    return (
        f"{name:<7} {phase.rate_per_s:>7,}/s  predicted {phase.predicted_per_s:>9,.0f}/s  "
        f"outcomes {phase.outcomes_per_s:>9,.0f}/s  {phase.cpu_us_per_event:>6.2f} CPU µs/event  "
        f"waiting {phase.waiting_events:,} + {phase.waiting_labels:,}  {'carried' if phase.carried else 'not carried'}"
    )


def show(result: dict[str, Any], console: Console) -> None:
    """Print all phases."""
    columns = ("rate_per_s", "predicted_per_s", "outcomes_per_s", "cpu_us_per_event", "cpu_percent", "growth_per_s")
    table = Table(title="events, and a label for each three seconds later")
    for heading in ("phase", *columns, "carried"):
        table.add_column(heading.replace("_", " "), justify="left" if heading == "phase" else "right")
    for name, row in (
        ("events", result["events_alone"]),
        ("goal", result["goal"]),
        *(("step", step) for step in result["steps"]),
    ):
        table.add_row(name, *(f"{row[column]:,}" for column in columns), "yes" if row["carried"] else "no")
    console.print(table)
    console.print(
        f"a label costs {result['cpu_us_per_label']} CPU µs; carried for good: {result['carried_per_s']:,} events/s "
        f"and as many labels; the goal of {GOAL_PER_S:,}/s is {'met' if result['goal']['met'] else 'missed'}"
    )


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.feedback", description="Labels joined while events are scored.")
    parser.add_argument("--quick", action="store_true", help="a few seconds each; kept apart from full results")
    arguments = parser.parse_args()
    result = surroundings(full=not arguments.quick)
    console = Console()
    result |= run(QUICK if arguments.quick else FULL, console)
    show(result, console)
    console.print(f"kept in {write('feedback', result)}")


if __name__ == "__main__":
    told(main)
