"""The topics of a pipeline on the broker: which there must be, and making those that are missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.errors import BrokerError, ConfigurationError
from app.features import Contract
from app.registry import model_topic_configs

_COMPACT = {"cleanup.policy": "compact"}
_DELETE = {"cleanup.policy": "delete"}
_ANSWER_S = 10.0
"""How long a broker may take to say its first word: the client itself waits 40 s for a port that is open and silent."""


class Topic(NamedTuple):
    """A topic as it should be: with one partition, or with as many as the pipeline has."""

    name: str
    single: bool
    config: dict[str, str]


class TopicState(NamedTuple):
    """A topic as it is."""

    topic: str
    partitions: int
    created: bool


def wanted_topics(contract: Contract) -> list[Topic]:
    """The topics of a pipeline, the two of the user first."""
    topics = contract.topics
    configs = model_topic_configs()
    return [
        # With the broker's own clock an activation by record timestamp is one point of the stream for everybody.
        Topic(topics.features, single=False, config={**_DELETE, "message.timestamp.type": "LogAppendTime"}),
        Topic(topics.labels, single=False, config=_DELETE),
        Topic(topics.predictions, single=False, config={**_DELETE, "message.timestamp.type": "CreateTime"}),
        Topic(topics.dead_letters, single=False, config={**_DELETE, "message.timestamp.type": "CreateTime"}),
        Topic(topics.performance, single=True, config=_COMPACT),
        Topic(topics.models, single=True, config=configs.models),
        Topic(topics.model_bytes, single=True, config=configs.model_bytes),
        Topic(topics.model_events, single=True, config=configs.model_events),
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
    Raises ConfigurationError when partition counts differ, or when a topic is missing and *create* is false.
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
        width = found.get(contract.topics.features) or found.get(contract.topics.labels) or partitions
        if missing:
            await _create(client, missing, width, replication_factor)
        counts = {topic.name: found.get(topic.name, 1 if topic.single else width) for topic in wanted}
    _check_equal(contract, wanted, counts)
    return [TopicState(topic.name, counts[topic.name], topic.name not in found) for topic in wanted]


async def _create(client: AIOKafkaAdminClient, missing: list[Topic], width: int, replication_factor: int) -> None:
    response = await client.create_topics(
        [
            NewTopic(topic.name, 1 if topic.single else width, replication_factor, topic_configs=topic.config)
            for topic in missing
        ]
    )
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another worker may make them at the same time
            raise BrokerError(f"topic {name} could not be made: {error.__name__} {rest[0] if rest else ''}".rstrip())


def _check_equal(contract: Contract, wanted: list[Topic], counts: Mapping[str, int]) -> None:
    width = counts[contract.topics.features]
    for topic in wanted:
        expected = 1 if topic.single else width
        if counts[topic.name] != expected:
            raise ConfigurationError(
                f"pipeline {contract.name}: topic {topic.name} has {counts[topic.name]} partitions, but needs "
                f"{expected}{'' if topic.single else f' as {contract.topics.features} has'}: "
                "partition number n of one belongs to partition number n of the others"
            )
