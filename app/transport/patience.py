"""Patience with a broker that is away, or cuts connections.

aiokafka asks for metadata again the moment it was refused. Its sender and its fetcher wait for an update of the
metadata, and where nobody listens that fails at once: a worker spent a whole processor on being refused, with ten
thousand lines of log a second, and answered nobody meanwhile.

A write to a connection that was reset is an OSError for asyncio, and aiokafka connects anew. uvloop raises a
RuntimeError until the connection's end was told to its owner: aiokafka's producer takes that for a fault of its own
and ends, and the worker with it.

Impatience with a connection that is silent: it may have died without a word, and everything else on it waits behind
it. Faust has one time for all requests, and since Kafka keeps those that join a group for as long as a rebalance takes,
it is a long one; a worker whose connections had gone silent stood still for a minute and a half. Two requests that ran
out of time together made the second a KeyError.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.util import wait_for

REFUSED_WAIT_S = 0.25
"""Time between two attempts to learn of a cluster that does not answer."""

ANSWER_WITHIN_S = 30.0
"""How long an answer may take, as in Kafka's own clients; a client may be set to less."""
HEARTBEAT_WITHIN_S = 10.0
_JOIN_GROUP, _HEARTBEAT, _SYNC_GROUP = 11, 12, 14
"""Kafka's numbers of these requests."""

_update = AIOKafkaClient._metadata_update  # noqa: SLF001
_send = AIOKafkaConnection.send


async def _update_with_patience(self: Any, *args: Any) -> bool:
    updated: bool = await _update(self, *args)
    if not updated:
        await asyncio.sleep(REFUSED_WAIT_S)
    return updated


def _send_or_lose(self: Any, request: Any, expect_response: bool = True) -> Any:  # noqa: FBT001, FBT002  aiokafka's signature
    try:
        answer = _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error
    return _answered(self, request.API_KEY, answer) if expect_response else answer


async def _answered(connection: Any, api: int, answer: Any) -> Any:
    try:
        return await wait_for(answer, _within_s(api))
    except TimeoutError as error:
        connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
        raise RequestTimedOutError(f"no answer of {connection.host}:{connection.port} to request {api}") from error


def _within_s(api: int) -> float | None:
    if api in {_JOIN_GROUP, _SYNC_GROUP}:
        return None
    return HEARTBEAT_WITHIN_S if api == _HEARTBEAT else ANSWER_WITHIN_S


def be_patient() -> None:
    """Have every Kafka client of this process wait between attempts, and connect anew after a reset or silence."""
    AIOKafkaClient._metadata_update = _update_with_patience  # noqa: SLF001
    AIOKafkaConnection.send = _send_or_lose
