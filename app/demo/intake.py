"""What feeds the stream: the steady intake sends the schedule's records as they become due."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.demo.schedule import Schedule
    from app.records import Topics

_TICK_S = 0.005
"""Records are sent at most this long after they became due."""


@dataclass
class Sent:
    """What has been handed to Kafka so far."""

    events: int = 0
    labels: int = 0
    pass_number: int = 1
    labels_waiting: int = 0
    """Labels that are still to come for events already sent."""


class Intake(Protocol):
    """A source of features and labels that runs until it is told to stop."""

    sent: Sent

    async def start(self) -> None:
        """Begin to send."""

    async def stop_events(self) -> None:
        """Send no more features; the labels that are still owed follow."""

    def is_done(self) -> bool:
        """Whether nothing more will be sent; raises BrokerError when sending failed."""

    async def close(self) -> None:
        """Leave nothing running, whatever has been sent."""


class SteadyIntake:
    """Sends the schedule's records one by one, each as soon as it is due.

    Records carry their key and no partition: aiokafka's default partitioner is Java's murmur2, so an event and its
    label meet in one partition.
    """

    def __init__(self, bootstrap: str, topics: Topics, schedule: Schedule, *, clock: Callable[[], float]) -> None:
        self._producer_options: dict[str, Any] = {"bootstrap_servers": bootstrap, "enable_idempotence": True}
        self._topics = topics
        self._schedule = schedule
        self._clock = clock
        self._intake = True
        self._task: asyncio.Task[None] | None = None
        self.sent = Sent()

    async def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._send_until_done(), name="demo-intake")

    async def stop_events(self) -> None:
        """Send no more features; the labels that are still owed follow as they become due."""
        self._intake = False

    def is_done(self) -> bool:
        """Whether the last label is sent; raises BrokerError when Kafka refused a record."""
        return has_ended(self._task)

    async def close(self) -> None:
        """End at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, BrokerError):
                await self._task

    async def _send_until_done(self) -> None:
        producer = AIOKafkaProducer(**self._producer_options)
        await producer.start()
        try:
            unconfirmed: list[asyncio.Future[Any]] = []
            while self._intake or self._schedule.labels_waiting:
                for record in self._schedule.take(self._clock(), intake=self._intake):
                    topic = self._topics.labels if record.is_label else self._topics.features
                    unconfirmed.append(await producer.send(topic, record.value, record.key))
                    self._count(is_label=record.is_label)
                unconfirmed = [future for future in unconfirmed if not _confirmed(future)]
                await asyncio.sleep(_TICK_S)
            await asyncio.gather(*unconfirmed)
        except KafkaError as error:
            raise BrokerError(f"the demo cannot send its records: {error!r}") from error
        finally:
            await producer.stop()

    def _count(self, *, is_label: bool) -> None:
        if is_label:
            self.sent.labels += 1
        else:
            self.sent.events += 1
        self.sent.pass_number = self._schedule.pass_number
        self.sent.labels_waiting = self._schedule.labels_waiting


def has_ended(task: asyncio.Task[None] | None) -> bool:
    """Whether *task* has come to its end; raises what it raised."""
    if task is None or not task.done():
        return False
    task.result()
    return True


def _confirmed(future: asyncio.Future[Any]) -> bool:
    """Whether Kafka has the record; raises what it answered when it refused."""
    if future.done():
        future.result()
        return True
    return False
