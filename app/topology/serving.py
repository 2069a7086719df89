"""Services of the worker that start before anything is consumed: HTTP, and a pipeline's models."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from mode import Service

from app.features import Contract
from app.metrics import Metrics
from app.records import Manifest, ModelEvent
from app.registry import ModelCache, ModelReader, Timeline
from app.scoring import Scorer
from app.settings import Settings
from app.web import WebServer

log = structlog.get_logger(__name__)


class Starts(Service):  # type: ignore[misc]
    """A Faust service around two coroutine functions, in the order of the worker's services."""

    abstract = False

    def __init__(self, name: str, start: Callable[[], Awaitable[Any]], stop: Callable[[], Awaitable[Any]]) -> None:
        self._name, self._start, self._stop = name, start, stop
        super().__init__()

    async def on_start(self) -> None:
        """Start it."""
        await self._start()

    async def on_stop(self) -> None:
        """Stop it."""
        await self._stop()

    @property
    def label(self) -> str:
        """Its name in Faust's logs."""
        return self._name

    shortlabel = label


def web_service(server: WebServer) -> Starts:
    """The HTTP server as a service."""

    async def start() -> None:
        await server.start()
        log.info("http listens", url=server.url)

    return Starts("http", start, server.stop)


def worker_name() -> str:
    """How this worker calls itself on `model-events`: host and process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def model_reader(
    settings: Settings, contract: Contract, metrics: Metrics, publish_event: Callable[[ModelEvent], Awaitable[None]]
) -> ModelReader[Scorer]:
    """The reader of a pipeline's models, which counts and publishes what it decides."""

    def load(model: bytes, manifest: Manifest) -> Scorer:
        return Scorer.load(model, contract, version=manifest.version, sha256=manifest.sha256)

    async def report(event: ModelEvent) -> None:
        if event.event == "activated":
            _show_in_force(metrics, reader.timeline, event)
        await publish_event(event)  # is tried again when it fails, so nothing is counted before
        metrics.model_update(contract.name, event.event, event.reason or "")

    reader = ModelReader(
        settings.broker,
        contract.topics,
        contract.name,
        load,
        ModelCache(Path(settings.state_dir) / "models", max_bytes=settings.model_cache_bytes),
        worker=worker_name(),
        report=report,
        clock=time.time,
        contract_sha256=contract.model_sha256,
        max_model_bytes=settings.max_model_bytes,
    )
    return reader


def _show_in_force(metrics: Metrics, timeline: Timeline, event: ModelEvent) -> None:
    """Set the gauges of the version in force to the activation that *event* tells of."""
    standing = None if event.sequence is None else timeline.standing(event.sequence)
    if standing is None:
        return
    activation = standing.activation
    sha256 = timeline.releases[activation.version].manifest.sha256
    metrics.model_in_force(event.pipeline, activation.version, sha256, effective_from_s=activation.effective_from_s)
