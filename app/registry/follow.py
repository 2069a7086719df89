"""Following one topic for good: what is on it, and until when that is known to be all of it."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Protocol

from app.errors import BrokerError, ConfigurationError
from app.registry.tail import KAFKA_FAULTS, TopicTail

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import ConsumerRecord

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.3
_STUCK_AFTER_S = 15.0
_TOPIC_APPEARS_WITHIN_S = 3.0
_RETRY_S = 0.5


class TopicRecreated(BrokerError):
    """The topic ends before what was already read of it: it is another topic now."""


class Follows(Protocol):
    """Who is told what the topic holds."""

    def take(self, record: ConsumerRecord) -> None:
        """The next committed record; one may come twice after an outage."""

    def caught_up(self) -> None:
        """All that stood on the topic at `fresh_as_of_s` has been taken."""


class TopicFollower:
    """Hands every committed record of *topic*, from the start on, to *follows*; outages are waited out.

    `fresh_as_of_s` is the time at which it last asked how far the topic goes and has read all up to there since, by
    *clock*: what is younger may be unknown. `outage` says what is wrong with the broker now.
    """

    def __init__(self, bootstrap: str, topic: str, follows: Follows, *, clock: Callable[[], float]) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.fresh_as_of_s = -math.inf
        self.outage: str | None = None
        self._follows = follows
        self._clock = clock
        self._next_offset = 0
        self._tail: TopicTail | None = None

    async def read_to_end(self, timeout_s: float) -> None:
        """Connect and read what is committed now.

        Raises ConfigurationError when the topic does not exist, BrokerError when all of it could not be read within
        *timeout_s*.
        """
        try:
            async with asyncio.timeout(timeout_s):
                self._tail = await self._open_patiently()
                async for record in self._tail.until(await self._tail.stable_end()):
                    self._take(record)
        except KAFKA_FAULTS as error:
            await self.close()
            raise BrokerError(f"cannot read {self.topic} from {self.bootstrap}: {error!r}") from error
        except BaseException:
            await self.close()
            raise

    async def run(self) -> None:
        """Follow until cancelled; raises TopicRecreated, from which only a restart recovers."""
        while True:
            try:
                if self._tail is None:
                    self._tail = await TopicTail(self.bootstrap, self.topic).open(self._next_offset)
                await self._follow(self._tail)
            except TopicRecreated:
                raise
            except (*KAFKA_FAULTS, ConfigurationError) as error:
                self.outage = f"{error}" or repr(error)
                log.warning("%s: reading again from offset %d: %r", self.topic, self._next_offset, error)
                await self.close()
                await asyncio.sleep(_RETRY_S)

    async def close(self) -> None:
        """Give up the connections."""
        if self._tail is not None:
            tail, self._tail = self._tail, None
            await tail.close()

    async def _follow(self, tail: TopicTail) -> None:
        loop = asyncio.get_running_loop()
        caught_up_at = loop.time()
        while True:
            known_to = max(await tail.position(), self._next_offset)
            asked_at_s = self._clock()
            end = await tail.high_watermark()
            if end < known_to:
                raise TopicRecreated(
                    f"{self.topic} ends at offset {end}, but was read to {known_to}: it was recreated or truncated; "
                    "restart the worker"
                )
            pending = True
            ask_again_at = loop.time() + ASK_EVERY_S
            while (left_s := ask_again_at - loop.time()) > 0:
                if pending and await tail.position() >= end:
                    pending = False
                    caught_up_at = loop.time()
                    self.fresh_as_of_s, self.outage = asked_at_s, None
                    self._follows.caught_up()
                for record in await tail.poll(left_s):
                    self._take(record)
            # The client may have died behind its own interface; a new one cannot be worse.
            if loop.time() - caught_up_at > _STUCK_AFTER_S:
                raise BrokerError(f"nothing new was read up to offset {end} for {_STUCK_AFTER_S:.0f} s")

    def _take(self, record: ConsumerRecord) -> None:
        self._next_offset = max(self._next_offset, record.offset + 1)
        self._follows.take(record)

    async def _open_patiently(self) -> TopicTail:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                return await TopicTail(self.bootstrap, self.topic).open()
            except ConfigurationError:  # brokers learn of a new topic one after another
                if loop.time() - began > _TOPIC_APPEARS_WITHIN_S:
                    raise
            except BrokerError as error:
                self.outage = str(error)
                log.warning("%s", error)
            await asyncio.sleep(_RETRY_S)
