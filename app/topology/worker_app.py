"""The worker's Faust application: agents bound to desks, services in their order, and what HTTP tells of it all."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import structlog
from faust.types import TP

from app.errors import ConfigurationError, FaustOnnxError
from app.features import Contract
from app.metrics import Metrics
from app.performance import PerformanceIndex
from app.settings import Settings, split_address
from app.topology.feedback import tally
from app.topology.guards import Guards
from app.topology.jobs import Job, Jobs
from app.topology.lag import LagWatch
from app.topology.pipeline import Pipeline
from app.topology.process import Worker
from app.topology.rekey import rekey
from app.topology.scoring import score
from app.topology.serving import Starts, web_service
from app.topology.state import StateSlot
from app.topology.strangers import tell_of_strangers
from app.topology.turns import Turns
from app.transport import BatchApp, Limits, Transactions
from app.transport.coordination import answer_within_s
from app.web import WebServer

log = structlog.get_logger(__name__)


class WorkerApp(BatchApp):
    """One worker process: its pipelines, its HTTP server, and the truth about whether it is ready."""

    def __init__(
        self,
        settings: Settings,
        contracts: Mapping[str, Contract],
        widths: Mapping[str, int],
        ledgers: Mapping[str, int],
        *,
        cluster_id: str,
    ) -> None:
        """By pipeline widths: partitions of its events; ledgers: of what its labels are joined in.

        cluster_id: of the Kafka cluster.
        """
        self._slot = StateSlot(settings.state_dir)
        self.settings = settings
        self.metrics = Metrics()
        self.ready_file: Path | None = None
        self.failed: BaseException | None = None
        """What the worker cannot go on after."""
        self.on_failed: Callable[[], None] = lambda: None
        self.started_at_s = time.time()
        self._recovering_since = time.perf_counter()
        self._assigned: set[TP] | None = None
        self._jobs = Jobs(self.fail, lambda: self.should_stop)
        super().__init__(
            settings.app_id,
            broker=[f"kafka://{address}" for address in settings.broker.split(",")],
            store="memory://",
            datadir=self._slot.path / "faust",
            env={},  # Faust reads generic names from the environment (WEB_PORT, TIMEZONE), which others set
            web_enabled=False,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=int(settings.fetch_max_bytes_per_partition),
            broker_max_poll_records=settings.max_poll_records,
            broker_commit_interval=settings.commit_interval_s,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=min(3.0, settings.session_timeout_s / 3),
            broker_request_timeout=max(90.0, settings.session_timeout_s),
            producer_max_batch_size=1 << 18,
            producer_request_timeout=30.0,
            topic_partitions=max(*widths.values(), *ledgers.values(), 1),
            topic_replication_factor=settings.replication_factor,
            topic_disable_leader=True,
            table_standby_replicas=0,
            stream_recovery_delay=0,
            worker_redirect_stdouts=False,
            Worker=Worker,
            limits=Limits(in_flight_bytes=int(settings.in_flight_max_bytes)),
        )
        self.transactions = Transactions(settings.broker, settings.app_id, answer_within_s(settings.commit_stuck_s))
        feature_topics = {contract.topics.features for contract in contracts.values()}
        turns = Turns(lambda: self.consumer.is_waiting(feature_topics))
        self.lives = {
            name: Pipeline(
                self,
                settings,
                contract,
                self.metrics,
                partitions=widths[name],
                ledgers=ledgers[name],
                store_path=functools.partial(self._slot.ledger, cluster_id, settings.app_id, name),
                turns=turns,
                on_failure=self.fail,
            )
            for name, contract in contracts.items()
        }
        self.lag = LagWatch(self, self.metrics, {n: p.contract.topics for n, p in self.lives.items()})
        self.guards = Guards(self, settings, self.metrics, contracts, widths)
        self.web_server = WebServer(*split_address(settings.http, lowest_port=0), self, self.metrics.registry)
        self.early_services = [
            web_service(self.web_server),
            Starts("transactions", self.transactions.start, self.transactions.stop),
            *(Starts(f"models of {n}", p.start, p.stop) for n, p in self.lives.items()),
            Starts("jobs", self._start_jobs, self._stop_jobs),
        ]
        self._bind_agents()
        self.on_members = functools.partial(tell_of_strangers, contracts)
        self.on_partitions_assigned.connect(self._note_assigned)
        self.on_partitions_revoked.connect(self._note_revoked)
        self.on_before_shutdown.connect(self.guards.settled)

    def _bind_agents(self) -> None:
        for name, pipeline in self.lives.items():
            topics = pipeline.contract.topics
            features = self.batch_topic(topics.features, in_lanes=self.settings.delivery == "exactly_once")
            feedback = self.batch_topic(*pipeline.feedback.sources, in_lanes=True)
            self.agent(features, name=f"score-{name}")(self._guarded(score, desk=pipeline.scoring))
            self.agent(feedback, name=f"tally-{name}")(
                self._guarded(tally, desk=pipeline.feedback, placement=pipeline.placement)
            )
            if pipeline.rekeying is not None:
                scattered = self.batch_topic(topics.predictions, topics.labels, in_lanes=True)
                self.agent(scattered, name=f"rekey-{name}")(self._guarded(rekey, desk=pipeline.rekeying))

    def _guarded(self, agent: Callable[..., Awaitable[None]], **dependencies: Any) -> Callable[..., Awaitable[None]]:
        """*agent* with its dependencies; an error in it is a bug, and the worker must not go on after one."""

        @functools.wraps(agent)
        async def guarded(batches: AsyncIterator[Any]) -> None:
            try:
                await agent(self.guards.watched(batches), **dependencies)
            except Exception as error:
                self.fail(error)
                raise

        return guarded

    def fail(self, error: BaseException) -> None:
        """End the worker: nothing more is committed, and whoever takes its partitions starts at what was."""
        if self.failed is None:
            self._note_failed(error)
            asyncio.ensure_future(self.crash(error))  # noqa: RUF006  the process ends with it

    def _crash(self, reason: BaseException) -> None:
        """Also what a service of Faust's cannot go on after ends the worker; it tells all services above it."""
        if self.failed is None:
            self._note_failed(reason)
        super()._crash(reason)

    def _note_failed(self, error: BaseException) -> None:
        self.failed = error
        self.guards.loop.stop()
        if isinstance(error, FaustOnnxError):  # a traceback would point at nothing that is wrong
            log.critical("the worker cannot go on", error=str(error))
        else:
            log.critical("the worker cannot go on", error=repr(error), exc_info=error)
        self.on_failed()

    # -- partitions

    async def begin_anew(self) -> None:
        """Let go of what a revocation did not name."""
        await asyncio.gather(*(pipeline.begin_anew() for pipeline in self.lives.values()))

    async def fence(self, assigned: AbstractSet[TP]) -> None:
        """Have nobody else write for the *assigned* partitions from now on."""
        await asyncio.gather(*(pipeline.fence(assigned) for pipeline in self.lives.values()))

    async def start_positions(self, committed: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """Where the ledgers' checkpoints stand, for predictions and labels."""
        starts: dict[TP, int] = {}
        for pipeline in self.lives.values():
            read_on = pipeline.read_on
            await self.guards.begin({tp: at for tp, at in committed.items() if tp.topic in read_on})
            starts.update(await pipeline.feedback.open(committed, self.consumer))
        self.metrics.recovered(time.perf_counter() - self._recovering_since)
        return starts

    async def _note_assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        self._recovering_since = time.perf_counter()
        self._assigned = set(assigned)
        self.guards.assigned(self._assigned)
        self.metrics.rebalanced()
        for pipeline in self.lives.values():
            for topic in pipeline.consumed:
                self.metrics.assigned(topic, sum(tp.topic == topic for tp in assigned))
        log.info("partitions assigned", n=len(assigned), partitions=_shown(assigned))

    async def _note_revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        self._assigned = None
        self.guards.revoked(revoked)
        for name, pipeline in self.lives.items():
            await pipeline.forget(revoked)
            for tp in revoked:
                if tp.topic in pipeline.contract.topics:
                    self.metrics.revoked(name, tp.topic, tp.partition)

    # -- jobs beside the stream

    async def _start_jobs(self) -> None:
        self.guards.loop.start()
        jobs = [Job(self.lag.measure, 1.0), Job(self._tell_ready, 0.05), *self.guards.jobs]
        for pipeline in self.lives.values():
            jobs.append(Job(pipeline.gate.release, 0.0))
            jobs.append(Job(pipeline.disk.measure, 5.0))
            jobs.append(Job(pipeline.feedback.publish, self.settings.performance_interval_s))
        self._jobs.start(jobs)

    async def _stop_jobs(self) -> None:
        await self._jobs.stop()
        await self.guards.stop()
        if self.failed is None:
            for pipeline in self.lives.values():
                await pipeline.feedback.close_all()

    async def _tell_ready(self) -> None:
        if self.ready_file is not None and self.readiness()[0]:
            content = json.dumps({"http": self.web_server.url, "pid": os.getpid()})
            temporary = self.ready_file.with_suffix(".part")
            temporary.write_text(content + "\n")
            temporary.replace(self.ready_file)
            log.info("ready", **json.loads(content))
            self.ready_file = None

    # -- what HTTP asks

    def alive(self) -> bool:
        """False once the worker has failed and is about to end."""
        return self.failed is None

    def readiness(self) -> tuple[bool, list[str]]:
        """Whether the worker does all that is asked of it, else the reasons why not."""
        reasons = [] if self.failed is None else [f"the worker has failed: {self.failed!r}"]
        if self._assigned is None:
            reasons.append("no assignment of partitions was received yet")
        elif self.rebalancing or not self.tables.recovery.completed.is_set():
            reasons.append("tables are being recovered")
        if (stuck := self.guards.standstill()) is not None:
            reasons.append(stuck)
        for pipeline in self.lives.values():
            reasons += pipeline.reasons(self._assigned or set())
        return not reasons, reasons

    def pipelines(self) -> list[str]:
        """The pipelines that this worker serves."""
        return list(self.lives)

    def performance(self, pipeline: str) -> PerformanceIndex:
        """What all workers together know of *pipeline*'s performance."""
        return self.lives[pipeline].performance.index

    def status(self) -> dict[str, Any]:
        """The worker as it sees itself, for /api/status."""
        ready, reasons = self.readiness()
        assigned = self._assigned or set()
        return {
            "app_id": self.settings.app_id,
            "broker": self.settings.broker,
            "delivery": self.settings.delivery,
            "pid": os.getpid(),
            "started_at": self.started_at_s,
            "ready": ready,
            "reasons": reasons,
            "lag": self.lag.status(),
            "pipelines": {name: pipeline.status(assigned) for name, pipeline in self.lives.items()},
        }


def _shown(partitions: Iterable[TP]) -> list[str]:
    return [f"{tp.topic}-{tp.partition}" for tp in sorted(partitions)]


def create_app(
    settings: Settings,
    contracts: Mapping[str, Contract],
    widths: Mapping[str, int],
    ledgers: Mapping[str, int],
    *,
    cluster_id: str,
) -> WorkerApp:
    """The application of one worker; raises ConfigurationError when it is given nothing to serve."""
    if not contracts:
        raise ConfigurationError(
            "FAUST_ONNX_PIPELINES is empty: name the pipelines to serve, for example FAUST_ONNX_PIPELINES=fraud"
        )
    return WorkerApp(settings, contracts, widths, ledgers, cluster_id=cluster_id)
