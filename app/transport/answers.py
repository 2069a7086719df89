"""What Kafka's answers to the requests of a lane mean, by what the lane does next."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from aiokafka import errors

from app.errors import BrokerError


class Unsure(Exception):
    """Whether the request took effect is not known, or it was refused for now."""


class Superseded(Exception):
    """Kafka knows a newer epoch of the transactional id."""


class TooLarge(Exception):
    """A record batch is larger than the topic takes."""


_SUPERSEDED = frozenset({errors.InvalidProducerEpoch.errno, 90})
"""INVALID_PRODUCER_EPOCH and PRODUCER_FENCED."""
UNVERIFIED = errors.NotEnoughReplicasError.errno
"""Also what a broker tells clients of our protocol version when it could not ask the coordinator (KIP-890)."""
CONCURRENT = errors.ConcurrentTransactions.errno
"""Kafka still ends the transaction before."""
UNSTABLE = 88
"""UNSTABLE_OFFSET_COMMIT: a transaction is about to commit an offset, or to leave it as it was."""
_FORBIDDEN = frozenset({
    errors.TopicAuthorizationFailedError.errno,
    errors.GroupAuthorizationFailedError.errno,
    errors.ClusterAuthorizationFailedError.errno,
    errors.TransactionalIdAuthorizationFailed.errno,
    errors.InvalidTransactionTimeout.errno,
    errors.InvalidTopicError.errno,
})  # fmt: skip
_INVALID_TIMESTAMP = errors.InvalidTimestampError.errno
_TOO_LARGE = frozenset({errors.MessageSizeTooLargeError.errno, errors.RecordListTooLargeError.errno})


def check(code: int, what: str) -> None:
    """Raise what the error *code* of an answer to *what* means; nothing for success."""
    if not code:
        return
    if code in _SUPERSEDED:
        raise Superseded(what)
    name = errors.for_code(code).__name__
    if code in _FORBIDDEN:
        raise BrokerError(f"Kafka refuses {what}: {name}. Grant the worker's user what it needs for transactions")
    if code == _INVALID_TIMESTAMP:
        raise BrokerError(
            f"Kafka refuses {what}: their timestamps are further from its clock than the topic allows. Predictions and "
            "dead letters have those of their events, all other topics the worker's: is its clock right? Else set the "
            "topic's message.timestamp.after.max.ms and message.timestamp.before.max.ms higher"
        )
    if code in _TOO_LARGE:
        raise TooLarge(what)
    raise Unsure(f"{what}: {name}")


def codes_of(answer: Any) -> Sequence[int]:
    """The error codes in an *answer* of a transaction's coordinator, 0 for success."""
    if hasattr(answer, "error_code"):
        return (answer.error_code,)
    if hasattr(answer, "errors"):
        return [code for _, partitions in answer.errors for _, code in partitions]
    return ()


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of *work* at once and wait for all of it; of several failures the one that decides most is raised."""
    ends = await asyncio.gather(*work, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, BaseException)]
    for kind in (asyncio.CancelledError, BrokerError, Superseded, TooLarge, Unsure):
        for failure in failures:
            if isinstance(failure, kind):
                raise failure
    for failure in failures:
        raise failure
