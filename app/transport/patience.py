"""Patience with a broker that is away: aiokafka asks for metadata again the moment it was refused.

Its sender and its fetcher wait for an update of the metadata, and where nobody listens that fails at once: a worker
spent a whole processor on being refused, with ten thousand lines of log a second, and answered nobody meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient

REFUSED_WAIT_S = 0.25
"""Time between two attempts to learn of a cluster that does not answer."""

_update = AIOKafkaClient._metadata_update  # noqa: SLF001


async def _update_with_patience(self: Any, *args: Any) -> bool:
    updated: bool = await _update(self, *args)
    if not updated:
        await asyncio.sleep(REFUSED_WAIT_S)
    return updated


def be_patient() -> None:
    """Have every Kafka client of this process wait between attempts."""
    AIOKafkaClient._metadata_update = _update_with_patience  # noqa: SLF001
