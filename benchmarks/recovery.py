"""How long it takes until a worker that comes back is as good as it was.

    table   a table of a million rows, read back from its changelog
    worker  a worker whose ledgers remember a million ids: from the start of the process until /readyz is 200, with
            its local state and without any, when the ledgers are rebuilt from the topics

A worker is ready when its ledgers stand where its counts do, so everything that was counted is known and what comes
next is counted. The time until the consumer group lets it in is Kafka's and is told apart. Each start is checked: the
ids that it remembers and the counts that it serves are those of before.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from rich.console import Console
from rich.table import Table

from app.embedded import EmbeddedKafka
from app.transport import Batch, BatchApp, live
from benchmarks.cluster import LOG_APPEND_TIME, N_PARTITIONS, Cluster
from benchmarks.memory import LABEL_EVERY, label_maker
from benchmarks.processes import Running, Unfit, told
from benchmarks.report import surroundings, write
from benchmarks.starts import Start, ask, free_port, watch_start
from benchmarks.systems import OURS, Job, publish, start_worker
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

N_ROWS = N_IDS = 1_000_000
N_QUICK = 100_000
ROW_BYTES = (100, 1000)
"""Sizes of a row's value: a row of counts has some 150 bytes with one pane, and 1,100 with all sixteen."""
CHANGELOG = {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"}
"""Kafka would otherwise begin to compact what was written at once, and take a core for it while we measure."""
ROUNDS = 3
PIPELINE = "recovery"
GOALS = {"rows_per_s": 100_000, "with_state_s": 5.0, "without_state_s": 15.0}


# -- a table


@dataclass
class TableApp:
    """An application with a table, which notes when its recovery begins and when it has ended."""

    broker: str
    name: str
    folder: Path
    topic: str
    assigned_s: float = 0.0
    assigned_cpu_s: float = 0.0
    app: BatchApp = field(init=False)
    table: Any = field(init=False)

    def __post_init__(self) -> None:
        self.app = BatchApp(
            self.name,
            broker=f"kafka://{self.broker}",
            store="memory://",
            datadir=self.folder / self.name,
            consumer_auto_offset_reset="earliest",
            topic_partitions=N_PARTITIONS,
            topic_disable_leader=True,
            stream_recovery_delay=0,
            table_standby_replicas=0,
            broker_max_poll_records=None,
            web_enabled=False,
            env={},
        )
        self.table = self.app.batch_table("rows", partitions=N_PARTITIONS)

        @self.app.agent(self.app.batch_topic(self.topic))  # type: ignore[untyped-decorator]  # Faust's has no types
        async def idle(batches: AsyncIterator[Batch]) -> None:
            async for batch in live(batches):
                batch.done()

        self.app.on_partitions_assigned.connect(self._note_assigned)

    async def _note_assigned(self, *_: Any, **__: Any) -> None:
        self.assigned_s, self.assigned_cpu_s = time.perf_counter(), time.process_time()

    async def recover(self) -> tuple[float, float]:
        """Seconds and processor seconds from the assignment until the table is whole."""
        self.app.finalize()
        await self.app.start()
        try:
            await self.app.tables.recovery.completed.wait()
            return time.perf_counter() - self.assigned_s, time.process_time() - self.assigned_cpu_s
        finally:
            await self.app.stop()


def row_maker(n_bytes: int) -> Callable[[int], tuple[bytes, bytes]]:
    """A function from a row's number to its key and value of *n_bytes*."""

    def make_row(number: int) -> tuple[bytes, bytes]:
        return b"recovery/1/all/60/%d" % number, (b"%d," % number).ljust(n_bytes, b"x")

    return make_row


def recover_table(cluster: Cluster, n: int, n_bytes: int, folder: Path) -> dict[str, Any]:
    """Rows per second of a table of *n* rows, over several rounds."""
    name, topic = f"table-{n_bytes}", f"table-{n_bytes}.in"
    cluster.create(topic)
    changelog = f"{name}-rows-changelog"
    cluster.create(changelog, CHANGELOG)
    make_row = row_maker(n_bytes)
    cluster.fill(changelog, make_row, range(n))
    runs = []
    for _ in range(ROUNDS):
        one = TableApp(cluster.broker, name, folder, topic)
        seconds, cpu_s = asyncio.run(one.recover())
        last_key, last_value = make_row(n - 1)
        if len(one.table) != n or one.table[last_key.decode()] != last_value:
            raise Unfit(f"{len(one.table)} of {n} rows were recovered")
        runs.append({"seconds": round(seconds, 3), "rows_per_s": round(n / seconds), "cpu_s": round(cpu_s, 3)})
        del one
    cluster.delete(changelog, topic)
    return {
        "rows": n,
        "row_bytes": n_bytes,
        "rows_per_s": round(statistics.median(run["rows_per_s"] for run in runs)),
        "runs": runs,
    }


# -- a worker


@dataclass(frozen=True)
class Known:
    """What a worker remembers and serves."""

    ids: int
    predicted: int
    labelled: int


def known(url: str) -> Known:
    """What the worker at *url* says."""
    _, status = ask(url + "/api/status")
    _, performance = ask(f"{url}/api/performance?pipeline={PIPELINE}")
    feedback = status["pipelines"][PIPELINE]["feedback"]
    total = performance["total"]
    return Known(sum(each["remembered"] for each in feedback.values()), total["predicted"], total["n"])


class WorkerUnderTest:
    """One worker on one state, started again and again."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        http = f"127.0.0.1:{self._port}"
        self.job = Job(OURS, PIPELINE, f"{PIPELINE}.features", WORKLOADS["a"], folder, http=http)

    def start(self) -> tuple[Running, Start]:
        """A worker that is ready."""
        return watch_start(lambda: start_worker(self.job, self._cluster), self.url, PIPELINE, within_s=300)

    def forget(self) -> None:
        """Delete all local state, as a new machine has none."""
        shutil.rmtree(self.job.folder / self.job.name / "state")

    def learn(self, n: int, console: Console) -> Known:
        """Have *n* events predicted and their labels counted; what is known then."""
        cluster, job = self._cluster, self.job
        cluster.create(job.features, LOG_APPEND_TIME)
        publish(job, cluster)
        make = job.workload.record_maker()
        cluster.fill(job.features, make, range(n))
        labelled = range(0, n, LABEL_EVERY)
        expected = Known(n, n, len(labelled))
        running, _ = self.start()
        with running:
            running.wait_until(lambda: cluster.written(job.predictions) >= n, within_s=600, what="predictions")
            cluster.fill(job.labels, label_maker(make), labelled)
            running.wait_until(lambda: known(self.url) == expected, within_s=600, what=f"{expected} counted")
            running.stop()
        console.print(f"{n:,} ids are remembered, {len(labelled):,} with a label")
        return expected

    def comes_back(self, expected: Known, *, kill: bool) -> Start:
        """Start, see that everything is known at once, and stop."""
        running, start = self.start()
        with running:
            if (found := known(self.url)).ids != expected.ids:
                raise Unfit(f"ready with {found}, expected {expected}\n{running.last_lines()}")
            running.wait_until(lambda: known(self.url) == expected, within_s=10, what=f"{expected} served")
            if not kill:
                running.stop()
        return start


def restart_worker(cluster: Cluster, n: int, folder: Path, console: Console) -> dict[str, Any]:
    """Starts with local state after an orderly end and after a kill, and without local state."""
    worker = WorkerUnderTest(cluster, folder)
    expected = worker.learn(n, console)
    starts: dict[str, list[Start]] = {"with_state": [], "after_kill": [], "without_state": []}
    for _ in range(ROUNDS):
        starts["with_state"].append(worker.comes_back(expected, kill=True))
        starts["after_kill"].append(worker.comes_back(expected, kill=False))
        worker.forget()
        starts["without_state"].append(worker.comes_back(expected, kill=False))
    return {"ids": n, "labels": expected.labelled} | {name: summary(runs) for name, runs in starts.items()}


def summary(starts: list[Start]) -> dict[str, Any]:
    """Medians, and every single start."""
    rows = [asdict(start) | {"after_join_s": start.after_join_s} for start in starts]
    medians = {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
    return medians | {"runs": [{name: round(value, 3) for name, value in row.items()} for row in rows]}


def show(result: dict[str, Any], console: Console) -> None:
    """Print *result*."""
    for row in result["tables"]:
        console.print(f"table of {row['rows']:,} rows of {row['row_bytes']} bytes: {row['rows_per_s']:,} rows/s")
    table = Table("start", "HTTP answers", "let in", "ready", "ready after it was let in", "/healthz took at most")
    for name in ("with_state", "after_kill", "without_state"):
        row = result["worker"][name]
        values = (row[key] for key in ("listening_s", "assigned_s", "ready_s", "after_join_s", "deafest_s"))
        table.add_row(name.replace("_", " "), *(f"{value:.2f} s" for value in values))
    console.print(table)


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="benchmarks.recovery", description="Table recovery, and a worker's return.")
    parser.add_argument("--quick", action="store_true", help="100,000 rows and ids; kept apart from full results")
    parser.add_argument("--only", choices=("table", "worker"), help="one part, printed and not kept")
    arguments = parser.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # as in a worker, also in the thread of the Kafka client
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # likewise
    console = Console()
    n = N_QUICK if arguments.quick else N_ROWS
    result: dict[str, Any] = surroundings(full=not arguments.quick) | {"goals": GOALS, "tables": []}
    with EmbeddedKafka.start() as kafka, tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        cluster = Cluster(kafka.bootstrap)
        if arguments.only != "worker":
            result["tables"] = [recover_table(cluster, n, n_bytes, Path(folder)) for n_bytes in ROW_BYTES]
        if arguments.only != "table":
            result["worker"] = restart_worker(cluster, n, Path(folder), console)
    if arguments.only:
        console.print(result)
        return
    show(result, console)
    console.print(f"kept in {write('recovery', result)}")


if __name__ == "__main__":
    told(main)
