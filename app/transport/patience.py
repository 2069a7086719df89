"""Patience with a broker that is away, or cuts connections.

aiokafka asks for metadata again the moment it was refused. Its sender and its fetcher wait for an update of the
metadata, and where nobody listens that fails at once: a worker spent a whole processor on being refused, with ten
thousand lines of log a second, and answered nobody meanwhile.

A write to a connection that was reset is an OSError for asyncio, and aiokafka connects anew. uvloop raises a
RuntimeError until the connection's end was told to its owner: aiokafka's producer takes that for a fault of its own
and ends, and the worker with it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

REFUSED_WAIT_S = 0.25
"""Time between two attempts to learn of a cluster that does not answer."""

_update = AIOKafkaClient._metadata_update  # noqa: SLF001
_send = AIOKafkaConnection.send


async def _update_with_patience(self: Any, *args: Any) -> bool:
    updated: bool = await _update(self, *args)
    if not updated:
        await asyncio.sleep(REFUSED_WAIT_S)
    return updated


def _send_or_lose(self: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return _send(self, *args, **kwargs)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def be_patient() -> None:
    """Have every Kafka client of this process wait between attempts, and connect anew after a reset."""
    AIOKafkaClient._metadata_update = _update_with_patience  # noqa: SLF001
    AIOKafkaConnection.send = _send_or_lose
