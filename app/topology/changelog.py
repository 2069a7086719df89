"""The changelog of a pipeline's counts, which Faust makes, and which has to be as wide as what is counted."""

from __future__ import annotations

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaError

from app.errors import BrokerError
from app.topology.topics import partition_counts

log = structlog.get_logger(__name__)


def table_of(pipeline: str) -> str:
    """The name of the table with a pipeline's counts."""
    return f"{pipeline}-tallies"


def changelog_of(app_id: str, pipeline: str) -> str:
    """The name of the topic in which these counts are durable."""
    return f"{app_id}-{table_of(pipeline)}-changelog"


async def widen_changelog(client: AIOKafkaAdminClient, app_id: str, pipeline: str, width: int) -> None:
    """Give an existing changelog at least *width* partitions, for a pipeline that has got more.

    What stands in it stays where it is, for rows go to the partition that they count. BrokerError if Kafka refuses.
    """
    topic = changelog_of(app_id, pipeline)
    before = (await partition_counts(client, [topic])).get(topic, width)
    if before >= width:
        return
    try:
        await client.create_partitions({topic: NewPartitions(width)})
    except KafkaError as error:
        if (await partition_counts(client, [topic])).get(topic, width) < width:  # else another worker was faster
            problem = f"topic {topic} has {before} partitions, but needs {width}, and Kafka does not make them: {error}"
            raise BrokerError(problem) from error
    log.info("changelog widened", topic=topic, partitions=width, before=before)
