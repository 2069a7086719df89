"""Sends events, learns from Kafka where they are, makes their labels of that, and sends those once they are due."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from app.errors import BrokerError
from app.keys import partition_of, partitions_of
from app.replay.batches import MAX_RECORD_BYTES, BatchSender
from app.replay.events import label_value
from app.replay.tracker import NO_LABEL
from app.replay.waiting import LabelBatch, WaitingLabels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.features import Contract
    from app.replay.events import Event
    from app.replay.tracker import Tracker

UNDER_WAY_MAX = 100
"""Batches that are not acknowledged; their rows are held until Kafka has said where they are."""


class _UnderWay(NamedTuple):
    """A batch that was handed over."""

    future: Any
    partition: int
    events: Sequence[Event] | None
    """None for a batch of labels."""
    n: int
    labels_due: float
    sent_s: float


class Stream:
    """The two topics of one pipeline that a replay writes to."""

    def __init__(  # noqa: PLR0913  # what is sent, where, by whom
        self,
        producer: Any,
        contract: Contract,
        tracker: Tracker,
        waiting: WaitingLabels,
        counts: Mapping[str, int],
        *,
        label_delay_s: float,
    ) -> None:
        """producer: started, see `BatchSender`; counts: partitions by topic."""
        self._sender = BatchSender(producer)
        self._contract, self._tracker, self._waiting = contract, tracker, waiting
        self._n_partitions = counts[contract.topics.features]
        self._n_label_partitions = counts[contract.topics.labels]
        self._label_delay_s = label_delay_s
        self._under_way: deque[_UnderWay] = deque()
        self._n = 0
        self.too_large = 0
        """Events that Kafka would not have taken."""
        self.without_label = 0
        """Events without a label, or without an id that it could name."""

    async def send_events(self, events: Sequence[Event], *, now_s: float, labels_due: float) -> None:
        """Send *events* in order; their labels are due at *labels_due*, on whichever clock."""
        for partition, share in self._by_partition(events).items():
            records = [(event.key, event.value) for event in share]
            sent = await self._sender.send(
                self._contract.topics.features, partition, records, timestamp_ms=int(now_s * 1000)
            )
            first = 0
            for future, n in sent:
                some = share[first : first + n]
                self._under_way.append(_UnderWay(future, partition, some, n, labels_due, int(now_s * 1000) / 1000))
                first += n
        self._n += len(events)
        await self.settle()

    async def send_labels(self, until: float) -> None:
        """Send the labels that are due at *until*."""
        while (batch := self._waiting.take(until)) is not None:
            for future, n in await self._sender.send(self._contract.topics.labels, batch.partition, batch.records):
                self._under_way.append(_UnderWay(future, batch.partition, None, n, batch.due, 0.0))
            await self.settle()

    async def settle(self, under_way_max: int = UNDER_WAY_MAX) -> None:
        """Take note of what Kafka has acknowledged, and wait until at most *under_way_max* batches are under way."""
        while self._under_way and (len(self._under_way) > under_way_max or self._under_way[0].future.done()):
            batch = self._under_way[0]
            placed = await batch.future
            self._under_way.popleft()
            if placed.offset < 0:
                raise BrokerError(
                    "Kafka was sent some records once more that it had already, and does not say where they are: their "
                    "labels cannot be made. Replay again, with --fresh-ids if the contract has an id_field"
                )
            if batch.events is None:
                self._tracker.sent_labels(batch.partition, placed.offset, batch.n)
            else:
                # The broker's own time, where the topic has that; else what we have said.
                at_s = batch.sent_s if placed.timestamp in (None, -1) else placed.timestamp / 1000
                self._acknowledged(batch, batch.events, placed.offset, at_s)

    def _by_partition(self, events: Sequence[Event]) -> dict[int, list[Event]]:
        """The events that fit, by partition: that of their key, or in turn."""
        keyed = iter(partitions_of([event.key for event in events if event.key is not None], self._n_partitions))
        found: dict[int, list[Event]] = {}
        for number, event in enumerate(events, start=self._n):
            partition = next(keyed) if event.key is not None else number % self._n_partitions
            if len(event.value) + len(event.key or b"") > MAX_RECORD_BYTES:
                self.too_large += 1
            else:
                found.setdefault(partition, []).append(event)
        return found

    def _acknowledged(self, batch: _UnderWay, events: Sequence[Event], first: int, timestamp_s: float) -> None:
        """Make the labels of events that are in Kafka from offset *first* on, and have them wait."""
        contract = self._contract
        features, record_s = contract.topics.features, timestamp_s if contract.event_time_path is None else None
        truths: list[float] = []
        labels: dict[int, list[tuple[bytes | None, bytes]]] = {}
        for offset, event in enumerate(events, start=first):
            id_ = f"{features}-{batch.partition}-{offset}" if contract.id_path is None else event.id
            if event.label is None or id_ is None:
                self.without_label += 1
                truths.append(NO_LABEL)
                continue
            truths.append(self._tracker.truth_of(event.label))
            # The partition is named: a label without a key would go anywhere, and one with a key goes there anyhow.
            partition = batch.partition
            if contract.is_by_id:
                partition = partition_of(event.key or id_.encode(), self._n_label_partitions)
            value = label_value(event, id_, record_s, self._label_delay_s)
            labels.setdefault(partition, []).append((event.key, value))
        self._tracker.sent_events(batch.partition, first, truths)
        for partition, records in labels.items():
            self._waiting.put(LabelBatch(batch.labels_due, partition, records))
