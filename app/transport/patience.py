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

A slow line is not a silent one. aiokafka gives a request the same time whatever its size, also while its answer is
coming in; then it closes the connection and begins anew, with the same bytes, for ever. Here time passes only while
nothing is heard, and records that are on their way to Kafka have the time that they take on a line of
`SLOWEST_BYTES_PER_S`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

REFUSED_WAIT_S = 0.25
"""Time between two attempts to learn of a cluster that does not answer."""

ANSWER_WITHIN_S = 30.0
"""How long an answer may take, as in Kafka's own clients; a client may be set to less."""
HEARTBEAT_WITHIN_S = 10.0
SLOWEST_BYTES_PER_S = 32 << 10
"""Of the slowest line over which records are written at all."""
_LOOKS = 8
"""How often a connection is looked at in the time after which it is taken for dead."""
_PRODUCE, _JOIN_GROUP, _HEARTBEAT, _SYNC_GROUP = 0, 11, 12, 14
"""Kafka's numbers of these requests."""

_update = AIOKafkaClient._metadata_update  # noqa: SLF001
_send = AIOKafkaConnection.send


async def _update_with_patience(self: Any, *args: Any) -> bool:
    updated: bool = await _update(self, *args)
    if not updated:
        await asyncio.sleep(REFUSED_WAIT_S)
    return updated


def _send_or_lose(self: Any, request: Any, expect_response: bool = True) -> Any:  # noqa: FBT001, FBT002  aiokafka's signature
    own_s, self._request_timeout = self._request_timeout, None  # it is kept here instead
    try:
        answer = _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error
    finally:
        self._request_timeout = own_s
    if not expect_response:
        return answer
    answer.close()  # a coroutine around the future, which is awaited here
    _, _, future = self._requests[-1]
    return _answered(self, request.API_KEY, future, _within_s(request.API_KEY, own_s) + _carrying_s(self))


async def _answered(connection: Any, api: int, answer: asyncio.Future[Any], within_s: float) -> Any:
    loop = asyncio.get_running_loop()
    heard, heard_at_s = _heard(connection), loop.time()
    try:
        while not (await asyncio.wait([answer], timeout=within_s / _LOOKS))[0]:
            now_heard, now_s = _heard(connection), loop.time()
            if now_heard != heard:
                heard, heard_at_s = now_heard, now_s
            elif now_s - heard_at_s >= within_s:
                connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
                answer.exception()  # that the connection was closed
                raise RequestTimedOutError(f"no answer of {connection.host}:{connection.port} to request {api}")
    except asyncio.CancelledError:
        answer.cancel()
        raise
    return answer.result()


def _within_s(api: int, own_s: float) -> float:
    """How long nothing may be heard after a request, for which its client would wait *own_s* whatever comes."""
    if api in {_JOIN_GROUP, _SYNC_GROUP}:
        return own_s
    return min(own_s, HEARTBEAT_WITHIN_S if api == _HEARTBEAT else ANSWER_WITHIN_S)


def _carrying_s(connection: Any) -> float:
    """How long it may take until the records are carried over that *connection* has been given and not answered."""
    sent = (request for _, request, _ in connection._requests if request is not None and request.API_KEY == _PRODUCE)  # noqa: SLF001
    n_bytes = sum(len(records) for request in sent for _, parts in request.topics for _, records in parts)
    return n_bytes / SLOWEST_BYTES_PER_S


def _heard(connection: Any) -> tuple[float, int]:
    """What changes with every byte that comes in: the time of the last answer, and how much there is of the next."""
    reader = connection._reader  # noqa: SLF001
    return connection._last_action, 0 if reader is None else len(reader._buffer)  # noqa: SLF001


def be_patient() -> None:
    """Have every Kafka client of this process wait between attempts, and connect anew after a reset or silence."""
    AIOKafkaClient._metadata_update = _update_with_patience  # noqa: SLF001
    AIOKafkaConnection.send = _send_or_lose
