"""A Faust application on the batched transport."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any

import faust
from faust.app.base import BootStrategy as _BootStrategy
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.transport.assignor import Assignor
from app.transport.consumer import Consumer
from app.transport.producer import Producer
from app.transport.recovery import TableManager
from app.transport.table import BatchTable
from app.transport.thread import Limits
from app.transport.topic import BatchTopic


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer and producer."""

    Consumer = Consumer
    Producer = Producer


class BootStrategy(_BootStrategy):  # type: ignore[misc]
    """Faust's order of start, with services of the app's own before anything is consumed.

    Faust starts tasks and timers only after table recovery; health checks and the model reader cannot wait for that.
    """

    def server(self) -> Iterable[Any]:
        """Services in the order of their start; they stop in reverse."""
        return chain(
            self.sensors(),
            self.kafka_producer(),
            self.app.early_services,
            self.kafka_consumer(),
            self.agents(),
            self.kafka_conductor(),
            self.tables(),
        )


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust app whose batched topics, tables and commits keep the promises of docs/architecture.md."""

    BootStrategy = BootStrategy

    def __init__(self, *args: Any, limits: Limits | None = None, **kwargs: Any) -> None:
        self.limits = limits or Limits()
        self.batched_topics: set[str] = set()
        self.lane_topics: set[str] = set()
        """Batched topics whose offsets are committed by transactions of lanes, and not by the consumer."""
        self.early_services: list[Any] = []
        self.on_members: Callable[[Collection[AbstractSet[str]]], None] = lambda _: None
        """Told of the topics of each member of the group, where this one is the leader; in another thread."""
        super().__init__(*args, TableManager=TableManager, PartitionAssignor=Assignor, **kwargs)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    def batch_topic(self, *names: str, in_lanes: bool = False) -> BatchTopic:
        """Topics that one agent consumes as `Batch`es; a batch is of one partition of one of them.

        in_lanes: their offsets are committed in the transactions of a `Lane`, with what follows from them.
        """
        self.batched_topics.update(names)
        if in_lanes:
            self.lane_topics.update(names)
        # Without acks: Faust's streams in C would note every batch for good, and have its offset committed.
        return BatchTopic(self, topics=list(names), key_type=bytes, value_type=bytes, acks=False)

    def batch_table(self, name: str, *, partitions: int, **kwargs: Any) -> BatchTable:
        """A table of bytes by string key whose changes an agent makes durable with `save`."""
        table = BatchTable(self, name=name, partitions=partitions, **kwargs)
        self.tables.add(table)
        return table

    async def begin_anew(self) -> None:
        """Called before each assignment: whatever is left of an earlier one is void, and comes again.

        A revocation that names every partition leaves nothing; Kafka's client may name none.
        """

    async def fence(self, assigned: AbstractSet[TP]) -> None:
        """Called before tables are recovered: nobody who had *assigned* before may write from now on.

        Rows that an earlier owner could still add would be missing from a table that was read before.
        """

    async def start_positions(self, committed: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """Where to start instead of the committed offset, for those partitions where the app knows better."""
        del committed
        return {}
