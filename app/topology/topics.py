"""The topics of a pipeline on the broker: which there must be, and making those that are missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from enum import Enum, auto
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.errors import BrokerError, ConfigurationError
from app.features import Contract
from app.registry import model_topic_configs

_COMPACT = {"cleanup.policy": "compact"}
_DELETE = {"cleanup.policy": "delete"}
ANY_TIME = {"message.timestamp.after.max.ms": str((1 << 63) - 1)}
"""For topics whose records have another clock's time than the broker's, which refuses by default what is an hour ahead:
that of an event, or that of a worker. Nothing would be written to them from then on."""
_KNOWN_S = 20.0
_ANSWER_S = 10.0
"""How long a broker may take to say its first word: the client itself waits 40 s for a port that is open and silent."""


class Width(Enum):
    """How many partitions a topic has."""

    ONE = auto()
    EVENTS = auto()
    """As many as the features topic."""
    OWN = auto()
    """Any number; as many as the features topic if we make it."""
    WIDEST = auto()
    """At least as many as the widest of the topics whose records it holds by partition number."""


class Topic(NamedTuple):
    """A topic as it should be."""

    name: str
    width: Width
    config: dict[str, str]


class TopicState(NamedTuple):
    """A topic as it is."""

    topic: str
    partitions: int
    created: bool


def wanted_topics(contract: Contract) -> list[Topic]:
    """The topics of a pipeline, the two of the user first."""
    topics, by_id = contract.topics, contract.is_by_id
    configs = model_topic_configs()
    create_time = {**_DELETE, "message.timestamp.type": "CreateTime", **ANY_TIME}
    return [
        # With the broker's own clock an activation by record timestamp is one point of the stream for everybody.
        Topic(topics.features, Width.EVENTS, {**_DELETE, "message.timestamp.type": "LogAppendTime"}),
        Topic(topics.labels, Width.OWN if by_id else Width.EVENTS, _DELETE),
        Topic(topics.predictions, Width.EVENTS, create_time),
        *([Topic(topics.ledger, Width.OWN, create_time)] if by_id else []),
        Topic(topics.dead_letters, Width.WIDEST if by_id else Width.EVENTS, create_time),
        Topic(topics.performance, Width.ONE, _COMPACT | ANY_TIME),
        Topic(topics.models, Width.ONE, configs.models),
        Topic(topics.model_bytes, Width.ONE, configs.model_bytes),
        Topic(topics.model_events, Width.ONE, configs.model_events | ANY_TIME),
    ]


@contextlib.asynccontextmanager
async def admin_client(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client; raises BrokerError when Kafka cannot be reached."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(_ANSWER_S):
            await client.start()
    except (KafkaError, OSError) as error:
        await client.close()
        why = str(error) or f"no answer within {_ANSWER_S:g} s"
        raise BrokerError(
            f"Kafka at {bootstrap} cannot be reached ({why}): is it running, and is FAUST_ONNX_BROKER right?"
        ) from error
    try:
        yield client
    finally:
        await client.close()


async def partition_counts(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """How many partitions each of *names* has; those that do not exist are left out."""
    existing = set(await client.list_topics()) & set(names)
    described = await client.describe_topics(sorted(existing)) if existing else []
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


async def ensure_topics(
    bootstrap: str,
    contract: Contract,
    *,
    partitions: int,
    replication_factor: int = 1,
    create: bool = True,
) -> list[TopicState]:
    """The topics of *contract*'s pipeline, after making those that are missing.

    partitions: for the user's topics when neither exists; the others follow the features topic.
    Raises ConfigurationError when partition counts do not fit, or when a topic is missing and *create* is false.
    """
    wanted = wanted_topics(contract)
    async with admin_client(bootstrap) as client:
        found = await partition_counts(client, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in found]
        if missing and not create:
            names = ", ".join(topic.name for topic in missing)
            raise ConfigurationError(
                f"pipeline {contract.name}: topics are missing: {names}. Make them with `faust-onnx topics create "
                f"--pipeline {contract.name}`, or let the worker do it: FAUST_ONNX_CREATE_TOPICS=true"
            )
        counts = _planned(contract, wanted, found, partitions)
        _check_counts(contract, wanted, counts)
        if missing:
            await _create(client, missing, counts, replication_factor)
    return [TopicState(topic.name, counts[topic.name], topic.name not in found) for topic in wanted]


async def await_topics(bootstrap: str, counts: Mapping[str, int]) -> None:
    """Wait until the broker tells of the topics in *counts*, and of their partitions; raises BrokerError.

    Kafka answers that a topic is made a moment before it tells everybody where it is.
    """
    try:
        async with asyncio.timeout(_KNOWN_S), admin_client(bootstrap) as client:
            while await partition_counts(client, list(counts)) != counts:  # noqa: ASYNC110  # Kafka sends no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BrokerError(
            f"Kafka at {bootstrap} has made topics but does not tell of them: {', '.join(counts)}"
        ) from None


def _planned(contract: Contract, wanted: list[Topic], found: Mapping[str, int], partitions: int) -> dict[str, int]:
    """The partition count of each topic: that which it has, or that with which it is to be made."""
    topics = contract.topics
    # Labels with a count of their own say nothing about the events.
    also = None if contract.is_by_id else found.get(topics.labels)
    width = found.get(topics.features) or also or partitions
    counts = {topic.name: found.get(topic.name, 1 if topic.width is Width.ONE else width) for topic in wanted}
    if contract.is_by_id and topics.dead_letters not in found:
        counts[topics.dead_letters] = _widest(contract, counts)
    return counts


def _widest(contract: Contract, counts: Mapping[str, int]) -> int:
    """The most partitions that a topic has whose records may die: a dead letter has its source's partition number."""
    topics = contract.topics
    return max(counts[topic] for topic in (topics.features, topics.predictions, topics.labels, topics.ledger))


async def _create(
    client: AIOKafkaAdminClient, missing: list[Topic], counts: Mapping[str, int], replication_factor: int
) -> None:
    response = await client.create_topics(
        [NewTopic(topic.name, counts[topic.name], replication_factor, topic_configs=topic.config) for topic in missing]
    )
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another worker may make them at the same time
            raise BrokerError(f"topic {name} could not be made: {error.__name__} {rest[0] if rest else ''}".rstrip())


def _check_counts(contract: Contract, wanted: list[Topic], counts: Mapping[str, int]) -> None:
    features = contract.topics.features
    for topic in wanted:
        count = counts[topic.name]
        if topic.width is Width.WIDEST and count < (widest := _widest(contract, counts)):
            raise ConfigurationError(
                f"pipeline {contract.name}: topic {topic.name} has {count} partitions, but needs at least {widest}: "
                "a dead letter goes to the partition number of the record that died"
            )
        if topic.width not in (Width.ONE, Width.EVENTS):
            continue
        expected = 1 if topic.width is Width.ONE else counts[features]
        if count != expected:
            raise ConfigurationError(
                f"pipeline {contract.name}: topic {topic.name} has {count} partitions, but needs "
                f"{expected}{'' if topic.width is Width.ONE else f' as {features} has'}: "
                "partition number n of one belongs to partition number n of the others"
            )
