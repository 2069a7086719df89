"""One run of a case: its pipeline, workers and load; what it injects is printed with the second at which it came."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from app.embedded import EmbeddedKafka
from tests.faults.suite.beside import sample, supervise, time_recovery
from tests.faults.suite.load import Load, Source, usual
from tests.faults.suite.measure import Peaks
from tests.faults.suite.registry import Case
from tests.faults.suite.watch import Watch
from tests.proxy import Proxy
from tests.workers import PipelineUnderTest, WorkerProcess

SIGTERM_WITHIN_S = 10.0


class RunFailed(Exception):
    """The fault could not be injected, so that the run shows nothing."""


@dataclass
class Site:
    """Where runs take place: a broker and the proxy before it."""

    kafka: EmbeddedKafka
    proxy: Proxy

    def bootstrap(self, case: Case) -> str:
        """What workers are told."""
        return self.proxy.address if case.proxied else self.kafka.bootstrap


@dataclass
class Run:
    """What a case works with.

    scale: 1 for the long run; less shortens loads and repetitions.
    """

    case: Case
    seed: int
    mode: str
    site: Site
    name: str
    folder: Path
    scale: float = 1.0
    tell: Callable[[str], None] = print
    faults: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recovery_s: float | None = None

    def __post_init__(self) -> None:
        """Same case and seed, same faults."""
        self.rng = random.Random(f"{self.case.name}/{self.seed}")
        self.began_s = time.monotonic()
        self.pipeline: PipelineUnderTest = None
        self.watch: Watch = None
        self.loads: list[Load] = []
        self.peaks = Peaks()
        self.settings: dict[str, Any] = {}
        self.supervised: list[WorkerProcess] = []
        """Workers that should live; whoever of them ends is started again."""
        self.versions = {1}
        """Those of the model that must have scored something."""
        self.checks: list[Callable[[], Any]] = []
        self.restart_as: dict[str, Any] | None = None
        """Settings of whoever takes the place of a worker that ended by itself; None: those that it had."""
        self.exits = 0
        """How many workers have ended by themselves."""
        self._jobs: list[asyncio.Task[None]] = []
        self._on_close: list[Callable[[], None]] = []
        self._published: asyncio.Future[Any] = None
        self._healed = False

    # -- what cases call

    @property
    def kafka(self) -> EmbeddedKafka:
        """The broker."""
        return self.site.kafka

    @property
    def proxy(self) -> Proxy:
        """The proxy between workers and broker."""
        return self.site.proxy

    @property
    def n(self) -> int:
        """Feature records that the run's load has, at least."""
        return max(600, int(self.case.records * self.scale))

    def times(self, count: int) -> int:
        """How often to repeat something that is done *count* times at full length."""
        return max(1, round(count * self.scale))

    def say(self, text: str) -> None:
        """Print and keep what was done."""
        line = f"+{time.monotonic() - self.began_s:.1f}s {text}"
        self.faults.append(line)
        self.tell(f"    {line}")

    def must(self, holds: Any, text: str) -> None:
        """Note a violation unless *holds*."""
        if not holds:
            self.violations.append(text)
            self.tell(f"    VIOLATION {text}")

    async def pause(self, low_s: float, high_s: float) -> None:
        """Wait for a random while."""
        await asyncio.sleep(self.rng.uniform(low_s, high_s))

    async def begin(
        self,
        *,
        partitions: int = 2,
        horizon_s: float = 30.0,
        model: bytes | None = None,
        join: str = "keyed",
        **settings: Any,
    ) -> PipelineUnderTest:
        """Topics, a model in force, and what all workers of the run are set to."""
        self.pipeline = PipelineUnderTest(
            self.kafka.bootstrap, self.name, self.folder, horizon_s=horizon_s, partitions=partitions, join=join
        )
        self.settings = {
            "delivery": self.mode,
            "broker": self.site.bootstrap(self.case),
            "state_dir": self.folder / "state",
            "session_timeout_s": 6,
            "commit_interval_s": 0.2,
            **settings,
        }
        self.watch = Watch(self.kafka.bootstrap, f"app-{self.name}")
        await self.pipeline.create()
        topics = self.pipeline.topics
        wanted = (topics.models, topics.model_bytes, topics.features)
        await self.eventually(lambda: all(map(self.watch.partitions, wanted)), 20.0, "topics that were made are known")
        self._published = asyncio.ensure_future(self.pipeline.publish(model=model))
        self._jobs = [asyncio.ensure_future(sample(self)), asyncio.ensure_future(supervise(self))]
        return self.pipeline

    def spawn(self, **settings: Any) -> WorkerProcess:
        """A worker process, which may not be ready yet."""
        worker = self.pipeline.start_worker(**{**self.settings, **settings})
        worker.options = settings
        self.supervised.append(worker)
        return worker

    async def worker(self, **settings: Any) -> WorkerProcess:
        """A worker that is ready."""
        worker = self.spawn(**settings)
        await self._published
        deadline = time.monotonic() + 60
        while not worker.ready_file.exists():
            if time.monotonic() > deadline:
                raise RunFailed(f"no worker became ready:\n{worker.tail()}")
            await asyncio.sleep(0.02)
            worker = self._successor(worker)
        return worker

    def _successor(self, worker: WorkerProcess) -> WorkerProcess:
        """*worker*, or another that lives if it has ended by itself, which was noted."""
        return worker if worker in self.supervised or not self.supervised else self.supervised[-1]

    async def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL."""
        worker = self._successor(worker)
        if worker in self.supervised:
            self.supervised.remove(worker)
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            worker.signal(signal.SIGKILL)
        await worker.wait()
        self.say(f"SIGKILL {worker.name}")

    async def terminate(self, worker: WorkerProcess) -> float:
        """SIGTERM; the seconds it took, which must be few, and the exit code must be 0."""
        worker = self._successor(worker)
        if worker in self.supervised:
            self.supervised.remove(worker)
        began_s = time.monotonic()
        worker.signal(signal.SIGTERM)
        try:
            code = await worker.wait(timeout_s=SIGTERM_WITHIN_S + 10)
        except Exception:  # noqa: BLE001  subprocess.TimeoutExpired, from a thread
            worker.end()
            code = "none"
        took_s = time.monotonic() - began_s
        self.must(code == 0, f"P7 {worker.name} ended with {code} after SIGTERM: {worker.tail(3)}")
        self.must(took_s <= SIGTERM_WITHIN_S, f"P7 {worker.name} took {took_s:.1f} s to end after SIGTERM")
        return took_s

    @contextlib.asynccontextmanager
    async def load(
        self, *, per_s: float | None = 2000.0, n: int | None = None, source: Source | None = None
    ) -> AsyncIterator[Load]:
        """Load for as long as the block takes; what is missing to *n* events follows in a burst."""
        source = source or usual(self.name)
        load = Load(self.kafka.bootstrap, self.pipeline.topics, source, self.rng_of("load"), n=n or self.n, per_s=per_s)
        self.loads.append(load)
        load.begin()
        try:
            yield load
        finally:
            await load.finish()

    async def published(self) -> None:
        """Wait until the first version of the model is published."""
        await self._published

    def beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have *work* done beside the case; it ends with the run."""
        task = asyncio.ensure_future(work)
        self._jobs.append(task)
        return task

    def rng_of(self, part: str) -> random.Random:
        """Randomness of its own for something that runs beside the case."""
        return random.Random(f"{self.case.name}/{self.seed}/{part}/{len(self.loads)}")

    def heal(self) -> None:
        """The fault is over: from now on the time of recovery counts. The framework says so at the latest."""
        if self._healed:
            return
        self._healed = True
        self.proxy.heal()
        for worker in self.pipeline.workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGCONT)
        self.say("healed")
        self.beside(time_recovery(self, time.monotonic()))

    async def set_configs(self, topic: str, configs: dict[str, str]) -> None:
        """Change settings of a topic."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()
        ]
        wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        await asyncio.to_thread(self.watch.admin, lambda admin: admin.incremental_alter_configs([wanted]))

    def when_drained(self, check: Callable[[], Any]) -> None:
        """Have *check* done when all is counted, all workers have ended and `watch` knows what they have told."""
        self.checks.append(check)

    def on_close(self, call: Callable[[], None]) -> None:
        """Have *call* done when the run is over, whatever came of it."""
        self._on_close.append(call)

    @property
    def state(self) -> Path:
        """Where workers have their local state."""
        return Path(self.settings["state_dir"])

    @property
    def changelog(self) -> str:
        """The topic of the table of counts."""
        return next(topic for topic in self.watch.topics_with(self.name) if topic.endswith("-changelog"))

    def logs(self) -> str:
        """What all workers have logged."""
        return "\n".join(worker.log.read_text(errors="replace") for worker in self.pipeline.workers)

    async def eventually(self, condition: Callable[[], Any], within_s: float, what: str) -> bool:
        """Whether *condition* became true; a violation if not."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                value = condition()
                if await value if asyncio.iscoroutine(value) else value:
                    return True
            await asyncio.sleep(0.1)
        self.must(False, f"{what}: not within {within_s:g} s")
        return False

    async def until_met(self, rule: Any, *, count: int = 1, within_s: float = 25.0) -> None:
        """Wait until the proxy has done its fault; RunFailed if it never could."""
        deadline = time.monotonic() + within_s
        while rule.met < count:
            if time.monotonic() > deadline:
                raise RunFailed(f"{rule.do}: {rule.met} of {count} requests of {sorted(rule.apis)} came")
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """End all that runs beside the case, and the workers."""
        jobs = [*self._jobs, *([self._published] if self._published else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        self._jobs.clear()
        if self.pipeline is not None:
            self.pipeline.stop()
        for call in self._on_close:
            call()
