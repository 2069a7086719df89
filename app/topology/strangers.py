"""A consumed topic belongs to one pipeline of a group; whoever shares it with another would lose records in silence.

    in one process               both agents are given one batch, and each is done with it for the other
    in two, under one app id     each partition goes to one of the two, and the other never sees its events

Pipelines that shall score the same events are groups of their own: an app id and a process for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import structlog
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from app.features import Contract

log = structlog.get_logger(__name__)

_PREDICTIONS = ".predictions"


def refuse_shared_topics(contracts: Mapping[str, Contract]) -> None:
    """ConfigurationError if two pipelines of one worker consume one topic."""
    owners: dict[str, str] = {}
    for name, contract in contracts.items():
        for topic in consumed(contract):
            if (other := owners.setdefault(topic, name)) != name:
                raise ConfigurationError(_told(topic, name, [other]))


def stranger_in(subscriptions: Iterable[AbstractSet[str]], contracts: Mapping[str, Contract]) -> str | None:
    """What is wrong if one of a group's *subscriptions* has a topic of one of *contracts*, but for another pipeline.

    Each member of a pipeline has its predictions topic, whose name is the pipeline's alone.
    """
    for subscription in subscriptions:
        for name, contract in contracts.items():
            if contract.topics.predictions in subscription:
                continue
            for topic in consumed(contract):
                if topic in subscription:
                    others = sorted(
                        each.removesuffix(_PREDICTIONS) for each in subscription if each.endswith(_PREDICTIONS)
                    )
                    return _told(topic, name, others)
    return None


def consumed(contract: Contract) -> tuple[str, ...]:
    """The topics that the workers of a pipeline share."""
    topics = contract.topics
    return (topics.features, topics.labels, topics.predictions, *([topics.ledger] if contract.is_by_id else []))


async def refuse_strangers(client: AIOKafkaAdminClient, app_id: str, contracts: Mapping[str, Contract]) -> None:
    """ConfigurationError if the group has members that consume a topic of *contracts* for another pipeline.

    A group that cannot be looked at, or is just being shared out, is not judged: its leader will.
    """
    try:
        [answer] = await client.describe_consumer_groups([app_id])
        members = [member for group in answer.to_object()["groups"] for member in group["members"]]
    except (KafkaError, OSError) as error:
        log.debug("the group could not be looked at", app_id=app_id, error=repr(error))
        return
    known = [
        ConsumerProtocolMemberMetadata.decode(each["member_metadata"]) for each in members if each["member_metadata"]
    ]
    if (problem := stranger_in([set(each.subscription) for each in known], contracts)) is not None:
        raise ConfigurationError(problem)


def tell_of_strangers(contracts: Mapping[str, Contract], subscriptions: Collection[AbstractSet[str]]) -> None:
    """What the leader of a group, who knows the *subscriptions* of all, says of those that do not go together."""
    if (problem := stranger_in(subscriptions, contracts)) is not None:
        log.error("events are lost to one of two pipelines", problem=problem)


def _told(topic: str, pipeline: str, others: Collection[str]) -> str:
    return (
        f"topic {topic} is consumed by pipeline {pipeline} and by {' and '.join(others) or 'another program'} in one "
        "group, where each record would reach one of them only: give each pipeline workers of its own, for example "
        f"FAUST_ONNX_PIPELINES={pipeline} with FAUST_ONNX_APP_ID=faust-onnx-{pipeline}"
    )
