"""The check of Kafka itself: that it answers, and how old it is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import ApiVersionRequest

from app.doctor.finding import Finding, Level
from app.errors import BrokerError

ANSWER_S = 10.0

_PRODUCE = 0
"""API key of Produce, whose versions tell the releases of Kafka apart."""
_RELEASES: Final = {9: "2.8 to 3.6", 10: "3.7", 11: "3.8 or 3.9", 12: "4.0"}
"""The releases of Kafka whose newest version of Produce it is."""


async def check_broker(broker: str) -> Finding:
    """What answers at *broker*; raises BrokerError when nothing does."""
    client = AIOKafkaClient(bootstrap_servers=broker, client_id="faust-onnx-doctor")
    try:
        async with asyncio.timeout(ANSWER_S):
            await client.bootstrap()
            answer: Any = await client.send(client.get_random_node(), ApiVersionRequest())
            n_brokers = len(client.cluster.brokers())
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"Kafka at {broker} does not answer ({error or type(error).__name__})") from error
    finally:
        await client.close()
    version = release_of(max((newest for key, _, newest in answer.api_versions if key == _PRODUCE), default=0))
    known = f"{n_brokers} broker{'s' if n_brokers != 1 else ''}"
    details = {"brokers": n_brokers, "kafka": version}
    if version is None:
        return Finding(
            "broker",
            Level.WARNING,
            f"{broker} answers ({known}), but speaks the protocol of a Kafka older than 2.8",
            fix="use a newer Kafka; this program is tested with 4.1",
            details=details,
        )
    return Finding("broker", Level.OK, f"{broker} answers: Kafka {version} by its protocol, {known}", details=details)


def release_of(produce_version: int) -> str | None:
    """The releases of Kafka whose newest version of Produce is *produce_version*; None for those before 2.8.

    >>> release_of(8), release_of(9), release_of(13)
    (None, '2.8 to 3.6', '4.1 or newer')
    """
    if produce_version < min(_RELEASES):
        return None
    return _RELEASES.get(produce_version, "4.1 or newer")
