"""Workers of ours in one consumer group, which begin together on a topic that was filled beforehand.

The model is published but not put in force until every worker has its share of the partitions: until then records wait
in Kafka. So the first worker has not scored half of them when the last one joins.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from benchmarks.processes import Running, Unfit, cpu_seconds, resident_bytes
from benchmarks.starts import ask, free_port
from benchmarks.systems import COMMAND, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.cluster import Cluster
    from benchmarks.systems import Job

ASSIGNED_WITHIN_S = 90.0
LOOK_EVERY_S = 0.05


class Group:
    """So many workers of one job; a context manager that kills them."""

    def __init__(self, job: Job, cluster: Cluster, n: int) -> None:
        self._job, self._cluster = job, cluster
        self._jobs = [replace(job, http=f"127.0.0.1:{free_port()}") for _ in range(n)]
        self._workers: list[Running] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        folder = self._job.folder / self._job.name / "models" / self._job.name
        folder.mkdir(parents=True)
        job = self._job
        (folder / "contract.toml").write_text(
            job.workload.contract(job.name, job.features, label_horizon_s=job.label_horizon_s)
        )
        self._do("topics", "create", "--pipeline", job.name)
        self._do("model", "publish", str(job.model), "--pipeline", job.name, "--version", "1", "--json")
        try:
            for number, mine in enumerate(self._jobs):
                self._workers.append(self._open.enter_context(self._start(number, mine)))
            self.wait_until(self._is_even, within_s=ASSIGNED_WITHIN_S, what="an even assignment")
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def activate(self) -> None:
        """Put the model in force: the workers begin."""
        self._do("model", "activate", "1", "--pipeline", self._job.name, "--json")

    def predicted(self) -> int:
        """How many predictions there are by now."""
        return self._cluster.written(self._job.predictions)

    def counted(self) -> int:
        """How many of them are counted, as any of the workers says."""
        status, told = ask(f"http://{self._jobs[0].http}/api/performance")
        return int(told["total"]["predicted"]) if status == 200 else 0

    def cpu_s(self) -> float:
        """Processor time of all workers together."""
        return sum(cpu_seconds(worker.pid) for worker in self._workers)

    def resident_bytes(self) -> int:
        """Memory of the largest worker."""
        return max(resident_bytes(worker.pid) for worker in self._workers)

    def check(self) -> None:
        """Unfit when one has ended."""
        for worker in self._workers:
            worker.check()

    def wait_until(
        self, condition: Callable[[], bool], *, within_s: float, what: str, every_s: float = LOOK_EVERY_S
    ) -> float:
        """Seconds until *condition* holds; Unfit when it takes too long or a worker ends."""
        began_s = time.monotonic()
        while not condition():
            self.check()
            if time.monotonic() - began_s > within_s:
                raise Unfit(f"{what}: not within {within_s:g} s\n{self._workers[0].last_lines()}")
            time.sleep(every_s)
        return time.monotonic() - began_s

    def _is_even(self) -> bool:
        """Whether every worker has its share."""
        told = [ask(f"http://{job.http}/api/status") for job in self._jobs]
        share = self._cluster.partitions // len(self._jobs)
        return all(
            status == 200 and len(page["pipelines"][self._job.name]["assigned"]) == share for status, page in told
        )

    def _start(self, number: int, job: Job) -> Running:
        folder = job.folder / job.name
        settings = environment(job, self._cluster) | {"FAUST_ONNX_STATE_DIR": str(folder / f"state-{number}")}
        return Running([*COMMAND, "worker"], log=folder / f"log-{number}", environment=settings)

    def _do(self, *step: str) -> None:
        """Run a command of ours."""
        log = self._job.folder / self._job.name / "publish.log"
        with Running([*COMMAND, *step], log=log, environment=environment(self._job, self._cluster)) as running:
            if running.wait(120):
                raise Unfit(f"faust-onnx {' '.join(step[:2])} failed\n{log.read_text()}")
