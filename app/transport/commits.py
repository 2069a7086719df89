"""Committing what is done: the part of the consumer that decides which offsets Kafka may forget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.transport.deliveries import Deliveries


class CommitsWhenDone(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, but a batch is committed by its own word, and a failed commit is tried again.

    Faust commits what an agent has left, however it left it, and takes an offset for committed when the broker refused.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deliveries: dict[TP, Deliveries] = {}
        self._last_at_s: dict[TP, float] = {}
        """Kafka timestamp of the last record handed out."""
        self._unsaved: dict[TP, int] = {}
        """Offsets of ordinary topics whose commit failed."""

    def is_batched(self, topic: str) -> bool:
        """True for topics that deliver batches."""
        return topic in self.app.batched_topics

    def ack(self, message: Any) -> bool:
        """Note that Faust is through with *message*; a batch counts as done only by its own word (`Batch.done`)."""
        if not self.is_batched(message.topic):
            return bool(super().ack(message))
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        if (waiting := self._waiting_for_ack) is not None and not waiting.done():
            waiting.set_result(None)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp in (*self._deliveries, *self._unsaved):
            if tp.topic not in self.app.lane_topics and (topics is None or tp in topics or tp.topic in topics):
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        if self.is_batched(tp.topic):
            deliveries = self._deliveries.get(tp)
            return None if deliveries is None else deliveries.committable
        offset: int | None = super()._new_offset(tp)
        return self._unsaved.get(tp) if offset is None else offset

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002  Faust's signature
        """Commit what is done by now, also after a commit that was under way: it may have begun before the last of it.

        Faust's own takes the other's commit for its own, so that the last one before a rebalance could be left out.
        """
        while await self.maybe_wait_for_commit_to_finish():
            pass
        return bool(await super().commit(topics, start_new_transaction))

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002  Faust's signature
        """Commit *offsets* once all that was sent before is acknowledged; what is not committed is tried again."""
        del start_new_transaction
        assigned, lanes = self.assignment(), self.app.lane_topics
        # A plain commit that comes while a lane's is under way would stand in its place: Kafka takes the later one.
        offsets = {tp: offset for tp, offset in offsets.items() if tp in assigned and tp.topic not in lanes}
        if not offsets:
            return False
        self._unsaved.update((tp, offset) for tp, offset in offsets.items() if not self.is_batched(tp.topic))
        await self.app.producer.flush()
        if not await self._commit(offsets):
            return False
        for tp in offsets:
            self._unsaved.pop(tp, None)
        self.app.tables.on_commit(offsets)
        self._committed_offset.update(offsets)
        self.app.monitor.on_tp_commit(offsets)
        return True

    def committed_in_lane(self, offsets: Mapping[TP, int]) -> None:
        """Note *offsets* as committed by a transaction."""
        self._committed_offset.update(offsets)
        self.app.monitor.on_tp_commit(offsets)

    def where(self, tp: TP) -> tuple[int | None, float | None]:
        """The offset up to which *tp* is done, and the Kafka timestamp in seconds of the last record handed out."""
        deliveries = self._deliveries.get(tp)
        done = None if deliveries is None else deliveries.committable
        return (self._committed_offset.get(tp) if done is None else done), self._last_at_s.get(tp)

    def standing(self) -> dict[TP, tuple[int | None, int | None, int]]:
        """Per partition: first offset of the oldest batch in flight, what may be committed, what was or 0."""
        return {
            tp: (deliveries.oldest, deliveries.committable, self._committed_offset.get(tp) or 0)
            for tp, deliveries in self._deliveries.items()
        }

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of records that were delivered and are not done, over all batched topics."""
        return sum(d.in_flight_bytes for d in self._deliveries.values())
