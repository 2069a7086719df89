"""Noticing that a topic is gone or has got more partitions, while Kafka's clients go on as if nothing were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from app.errors import FaustOnnxError

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
_ANSWER_S = 10.0
MISSED_LOOKS = 3
"""A broker that has just come back may not know of a topic at once."""


class TopicsChanged(FaustOnnxError):
    """The topics of a pipeline are not what they were when the worker began."""


class TopicWatch:
    """Asks the brokers once in a while how many partitions the topics have, and compares with the first answer."""

    def __init__(self, bootstrap: str, topics: Iterable[str], made_later: Iterable[str] = ()) -> None:
        """made_later: topics that may not be there when the worker begins; they are missed once they were seen."""
        self._bootstrap = bootstrap
        self._made_later = frozenset(made_later)
        self._topics = sorted({*topics, *self._made_later})
        self._awaited = set(self._made_later)
        self._known: dict[str, int] = {}
        self._missed: dict[str, int] = {}
        self._client: AIOKafkaAdminClient | None = None

    async def look(self) -> None:
        """Ask and compare; TopicsChanged says what is different. A broker that does not answer is no difference."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                counts = await self._counts()
        except (KafkaError, OSError) as error:
            log.debug("topics could not be looked at", error=repr(error))
            await self.close()
            return
        self.compare(counts)

    def compare(self, counts: Mapping[str, int]) -> None:
        """Compare the partition *counts* of the topics that there are with those known; TopicsChanged."""
        for topic in self._topics:
            if topic not in counts:
                if topic in self._awaited:
                    continue
                self._missed[topic] = self._missed.get(topic, 0) + 1
                if self._missed[topic] >= MISSED_LOOKS:
                    remedy = "the next start" if topic in self._made_later else "`faust-onnx topics create`"
                    raise TopicsChanged(
                        f"topic {topic} is gone. What was on it cannot be had again from here; {remedy} makes an empty "
                        "one. See `A topic is gone or has changed` in docs/troubleshooting.md"
                    )
                continue
            self._missed.pop(topic, None)
            self._awaited.discard(topic)
            known = self._known.setdefault(topic, counts[topic])
            if counts[topic] != known:
                raise TopicsChanged(
                    f"topic {topic} has {counts[topic]} partitions now, and had {known} when the worker began: keys "
                    "go to other partitions from here on. See `A topic is gone or has changed` in "
                    "docs/troubleshooting.md, then start the workers again"
                )

    def there_are(self, topics: Iterable[str]) -> None:
        """Note that these have been made: partitions of them were assigned."""
        self._awaited.difference_update(topics)

    async def _counts(self) -> dict[str, int]:
        if self._client is None:
            client = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            try:
                await client.start()
            except BaseException:
                await client.close()
                raise
            self._client = client
        # By its own request: the client's would have a broker make the topic that is missing.
        request = MetadataRequest(self._topics, allow_auto_topic_creation=False)
        answer = (await self._client._send_request(request)).to_object()  # noqa: SLF001
        return {each["topic"]: len(each["partitions"]) for each in answer["topics"] if not each["error_code"]}

    async def close(self) -> None:
        """Close the connection; the next look opens another."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
