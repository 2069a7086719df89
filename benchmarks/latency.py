"""How late a prediction is: from the moment its event was due to be sent until an observer can read the prediction.

An open loop (benchmarks/open_loop.py): record i is due at a time that was fixed beforehand, whatever became of the ones
before it, and its latency counts from when it was *due*. A system that stalls for a second is charged for every event
that was due in that second (no coordinated omission). `kafka-alone` is the same measurement of the feature records
themselves: what the sender, Kafka and the observer take without anybody in between. Sender, observer and system are
a process each.

The rates are 100, 1,000 and 10,000 events/s, and 70 % of saturation. Saturation is what our worker carries when there
is always more to do, while the same sender and observer share the machine with it: a closed loop, measured first in
the same run. Each system is started once, is warmed up at 1,000 events/s, and takes the rates one after the other.

At a rate that it cannot carry a system is *saturated*: a prediction came more than ten seconds late or not at all, or
over the window, and over a second one, latency more than doubled and rose by more than half a second. Its latency would
say how long was measured and nothing else, so none is given; a higher rate is not tried.
"""

from __future__ import annotations

import argparse
import gc
import math
import tempfile
import time
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster
from benchmarks.observer import Observer
from benchmarks.open_loop import AHEAD_S, AT_ONCE, Plan, Sender
from benchmarks.processes import Running, Unfit, told
from benchmarks.report import surroundings, write
from benchmarks.systems import OURS, SYSTEMS, Job, prepare, start
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.open_loop import Maker

KAFKA_ALONE = "kafka-alone"
RIVALS = ("quix-streams", "kafka-streams-ort")
"""Whose latency ours is to be below."""
COMPARED = (KAFKA_ALONE, OURS, *RIVALS, "aiokafka-loop")
FIRST_S = 120.0
"""How long it may take until all predictions of the warm-up are there."""
WARM_UP_RATE = 1000.0
SHARE = 0.7
"""Of saturation: the highest rate."""
AT_SHARE = "70 % of saturation"
"""How results call it."""
CLOSED_LOOP_AHEAD = 50_000
"""Records that wait while saturation is measured."""
PER_MILLE = {"p50_ms": 500, "p99_ms": 990, "p99.9_ms": 999}
GOAL_P99_MS = 15.0
"""Of ours, at 1,000 events/s."""


@dataclass(frozen=True)
class Step:
    """A rate at which latencies are measured."""

    name: str
    rate: float
    seconds: float


@dataclass(frozen=True)
class Lengths:
    """How long a run measures what, in seconds."""

    warm_up_s: float
    lead_in_s: float
    """At each rate, before latencies count."""
    steps: tuple[Step, ...]
    at_share_s: float
    """At the share of saturation, and for saturation itself."""


FULL = Lengths(8.0, 3.0, (Step("100", 100, 40), Step("1000", 1000, 45), Step("10000", 10_000, 20)), 20)
QUICK = Lengths(4.0, 1.0, (Step("100", 100, 4), Step("1000", 1000, 4), Step("10000", 10_000, 3)), 3)


def make_events() -> Maker:
    """What makes the records; called in the process that sends."""
    return WORKLOADS["a"].record_maker()


def percentile(ordered: Sequence[float], per_mille: int) -> float:
    """The nearest-rank percentile of values in ascending order; whole numbers, so that no rounding moves the rank.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 500), percentile([1.0, 2.0, 3.0, 4.0], 999)
    (2.0, 4.0)
    """
    return ordered[-(-per_mille * len(ordered) // 1000) - 1]


class Session:
    """One system, running, and what is asked of it: a sender fills its features, an observer reads its predictions."""

    def __init__(self, job: Job, cluster: Cluster, sender: Sender, running: Running | None, lengths: Lengths) -> None:
        self._job, self._sender, self._running, self._lengths = job, sender, running, lengths
        self._observer = Observer(cluster, job.predictions if running else job.features)
        self._next = 0

    def close(self) -> None:
        """Read no more."""
        self._observer.close()

    def warm_up(self) -> None:
        """Send records until there is a prediction of each; Unfit if that takes too long."""
        plan = self._begin(WARM_UP_RATE, int(WARM_UP_RATE * self._lengths.warm_up_s))
        seen = self._observer.watch(plan, late_s=FIRST_S, check=self._check)
        self._sender.finish(now=True)
        if seen.missing:
            log = self._running.last_lines() if self._running else ""
            raise Unfit(f"{self._job.system}: {seen.missing} of {plan.n} predictions never came\n{log}")

    def saturation(self) -> float:
        """Predictions per second when there is always more to do."""
        plan = self._begin(AT_ONCE, 1 << 30, leave=CLOSED_LOOP_AHEAD)
        rate = self._observer.follow(
            lead_s=self._lengths.lead_in_s,
            seconds=self._lengths.at_share_s,
            check=self._check,
            seen=lambda n: self._sender.grant(plan.first + n + CLOSED_LOOP_AHEAD),
        )
        self._sender.finish(now=True)
        return rate

    def measure(self, step: Step) -> dict[str, Any]:
        """Percentiles in milliseconds; or, if the system cannot carry the rate, how that was seen.

        Where latency grew but all came in time it is measured once more: it may have been a moment's stall.
        """
        row, all_came = self._measure(step)
        return self._measure(step)[0] if "saturated" in row and all_came else row

    def _measure(self, step: Step) -> tuple[dict[str, Any], bool]:
        """The row, and whether every prediction came in time."""
        skipped = int(step.rate * self._lengths.lead_in_s)
        plan = self._begin(step.rate, skipped + int(step.rate * step.seconds))
        seen = self._observer.watch(plan, check=self._check)
        sent = self._sender.finish(now=True)
        sender = {"sender_latest_ms": round(sent.latest_s * 1000, 3)}
        why = seen.why_saturated(skipped)
        if why:
            return {"saturated": True, "why": why, "seen_per_s": round(seen.per_s), **sender}, not seen.missing
        ordered = np.sort(seen.latencies_s[skipped:]).tolist()
        return {
            "events": len(ordered),
            **{name: round(percentile(ordered, per_mille) * 1000, 3) for name, per_mille in PER_MILLE.items()},
            "max_ms": round(ordered[-1] * 1000, 3),
            **sender,
        }, True

    def _begin(self, rate: float, n: int, *, leave: int | None = None) -> Plan:
        """Have the next *n* records sent from now on; leave: how many of them before more is granted."""
        plan = Plan(self._job.features, rate, time.monotonic() + AHEAD_S, self._next, n)
        self._next = plan.stop
        self._sender.begin(plan, leave=None if leave is None else plan.first + leave)
        return plan

    def _check(self) -> None:
        if self._running:
            self._running.check()


@contextmanager
def session(job: Job, cluster: Cluster, sender: Sender, lengths: Lengths) -> Iterator[Session]:
    """A session with a system that is started, and warm."""
    cluster.create(job.features, LOG_APPEND_TIME)
    with nullcontext() if job.system == KAFKA_ALONE else start(job, cluster) as running:
        if running and job.is_ours:
            running.wait_until(job.ready_file.exists, within_s=FIRST_S, what="ready")
        with closing(Session(job, cluster, sender, running, lengths)) as opened:
            opened.warm_up()
            yield opened
    cluster.delete(job.features, job.predictions)


def run(systems: Sequence[str], lengths: Lengths, folder: Path, console: Console) -> tuple[float, dict[str, Any]]:
    """Saturation, events/s, and what each system showed at each rate."""
    WORKLOADS["a"].trained_model()
    with EmbeddedKafka.start() as kafka:
        cluster = Cluster(kafka.bootstrap)

        def job(system: str, name: str) -> Job:
            return Job(system, name, f"{name}.events", WORKLOADS["a"], folder)

        with Sender(cluster, make_events) as sender:
            with session(job(OURS, "saturation"), cluster, sender, lengths) as ours:
                saturation = ours.saturation()
            console.print(f"saturation: ours carries {saturation:,.0f} events/s with sender and observer beside it")
            steps = [*lengths.steps, Step(AT_SHARE, round(SHARE * saturation), lengths.at_share_s)]
            steps.sort(key=lambda step: step.rate)
            rates: dict[str, Any] = {step.name: {"rate_per_s": step.rate, "seconds": step.seconds} for step in steps}
            for system in systems:
                with session(job(system, f"late-{system}"), cluster, sender, lengths) as opened:
                    for name, row in measured(opened, steps):
                        rates[name][system] = row
                        console.print(f"{name:>18}  {system:<17}  {row}")
    return saturation, rates


def measured(opened: Session, steps: Sequence[Step]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a system showed at each of *steps*, in ascending order; above a rate that saturates it nothing is tried."""
    too_much: Step | None = None
    for step in steps:
        if too_much:
            yield step.name, {"saturated": True, "why": f"saturated at {too_much.rate:,.0f} events/s already"}
            continue
        row = opened.measure(step)
        too_much = step if "saturated" in row else None
        yield step.name, row


def table(rates: dict[str, Any], systems: Sequence[str]) -> Table:
    """All rates and systems."""
    columns = (*PER_MILLE, "max_ms", "sender_latest_ms", "events")
    shown = Table(title="due to readable, ms, open loop")
    for heading in ("events/s", "system", *columns):
        shown.add_column(heading.removesuffix("_ms"), justify="left" if heading == "system" else "right")
    for at in rates.values():
        for system in systems:
            row = at[system]
            cells = ["saturated"] if "saturated" in row else [f"{row[column]:,}" for column in columns]
            shown.add_row(f"{at['rate_per_s']:,.0f}", system, *cells)
    return shown


def goals(rates: dict[str, Any]) -> dict[str, bool]:
    """Whether ours is soon enough at 1,000 events/s, and sooner than its rivals at every rate; not if saturated."""

    def p99_ms(at: dict[str, Any], system: str) -> float:
        return float(at[system].get("p99_ms", math.inf))

    rivals = [rival for rival in RIVALS if rival in rates["1000"]]
    met = {f"p99 below {rival}": all(p99_ms(at, OURS) < p99_ms(at, rival) for at in rates.values()) for rival in rivals}
    return {f"p99 at 1,000 events/s at most {GOAL_P99_MS:g} ms": p99_ms(rates["1000"], OURS) <= GOAL_P99_MS} | met


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.latency", description="End-to-end latency, open loop.")
    parser.add_argument("--quick", action="store_true", help="a few seconds each; kept apart from full results")
    parser.add_argument("--systems", help=f"of {', '.join((KAFKA_ALONE, *SYSTEMS))}; separated by commas")
    arguments = parser.parse_args()
    systems = arguments.systems.split(",") if arguments.systems else [*COMPARED]
    result = surroundings(full=not arguments.quick and set(COMPARED) <= set(systems))
    gc.disable()  # a collection here would be charged to whoever is measured
    console = Console()
    with tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as name:
        missing, versions = prepare(systems, Path(name))
        if missing:
            raise Unfit(f"cannot be had here: {missing}")
        result["versions"] |= versions
        saturation, rates = run(systems, QUICK if arguments.quick else FULL, Path(name), console)
    console.print(table(rates, systems))
    result["saturation"] = {"events_per_s": round(saturation), "share": SHARE}
    result["latency"] = {**rates["1000"], "partitions": N_PARTITIONS}
    result["rates"] = rates
    if OURS in systems:
        result["goals"] = goals(rates)
        console.print(result["goals"])
    console.print(f"kept in {write('latency', result)}")


if __name__ == "__main__":
    told(main)
