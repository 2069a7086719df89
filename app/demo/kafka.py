"""The Kafka of a run: our own, or the cluster that FAUST_ONNX_BROKER names, which is left as it was found."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.embedded import EmbeddedKafka
from app.embedded.lock import read_lock
from app.features import Contract
from app.topology.topics import admin_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.settings import Settings

PIPELINE = "fraud"


@dataclass(frozen=True)
class Place:
    """Where a run takes place."""

    bootstrap: str
    kafka: str
    """The broker's version, or that it is somebody else's."""
    app_id: str
    models_dir: Path
    contract: Contract


@contextlib.asynccontextmanager
async def place(settings: Settings, *, models_dir: Path, folder: Path) -> AsyncIterator[Place]:
    """The place of a run with the pipeline of *models_dir*; *folder* may be written to.

    On a cluster that is not ours pipeline and group get names that nobody else uses, and the topics of that name are
    deleted in the end.
    """
    if settings.origins["broker"] != "default":
        name = f"{PIPELINE}-demo-{uuid.uuid4().hex[:8]}"
        contract = await asyncio.to_thread(_renamed, models_dir, folder / "models", name)
        there = f"not ours: {settings.broker}"
        try:
            yield Place(settings.broker, there, f"faust-onnx-{name}", folder / "models", contract)
        finally:
            await _delete_topics(settings.broker, name)
        return
    contract = Contract.load(models_dir / PIPELINE / "contract.toml")
    kafka = await asyncio.to_thread(EmbeddedKafka.start)
    try:
        yield Place(kafka.bootstrap, read_lock().version, settings.app_id, models_dir, contract)
    finally:
        kafka.close()


def _renamed(models_dir: Path, copies: Path, name: str) -> Contract:
    """The contract of the demo under another name, written into the folder *copies*."""
    text = (models_dir / PIPELINE / "contract.toml").read_text(encoding="utf-8")
    path = copies / name / "contract.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(f'name = "{PIPELINE}"', f'name = "{name}"', 1), encoding="utf-8")
    return Contract.load(path)


async def _delete_topics(bootstrap: str, name: str) -> None:
    """Delete each topic that has *name* in its name: those of the pipeline and the worker's own."""
    async with admin_client(bootstrap) as client:
        ours = [topic for topic in await client.list_topics() if name in topic]
        if ours:
            await client.delete_topics(ours)
