"""Lanes: one writer for each input partition, fenced, whose every commit takes place wholly or not at all.

    open    take a new epoch: whoever held the lane before can write no more, what he left open is aborted
    commit  records and offsets in one transaction; if its end is unsure:
              take a new epoch, read the committed offsets -
              as wanted: it took place / as before: the same once more / otherwise: Fenced

That the offsets tell is what makes asking again safe, also for a worker that was stopped for an hour and believes that
the partition is still its own: they can only be as before if nobody went on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP

from app.columns import RecordColumns
from app.errors import BrokerError, FaustOnnxError
from app.records import OutRecord
from app.transport.answers import Superseded, TooLarge, Unsure, together
from app.transport.coordination import REQUEST_TIMEOUT_S, Coordination, Identity
from app.transport.packing import Packer

log = structlog.get_logger(__name__)

BATCH_BYTES = 900 << 10
"""A record batch at most, unless a single record is larger; Kafka's default limit is 1 MiB."""
_LEAST_BATCH_BYTES = 16 << 10
_RECORD_OVERHEAD_BYTES = 100
"""What a record takes beside its value, about: key, headers, and what Kafka adds."""
_RETRY_WAITS_S = (0.05, 0.1, 0.25, 0.5, 1.0)
_ABORT_WITHIN_S = 2.0
_SEQUENCES = 1 << 31
MAGIC, UNCOMPRESSED = 2, 0


_Records = list[OutRecord] | Packer


class Fenced(FaustOnnxError):
    """Another worker has taken the lane over: what was not committed never happened, and is the other's to do."""


class Output(NamedTuple):
    """Records for one partition of a topic."""

    topic: str
    partition: int
    records: Sequence[OutRecord]


class Lane:
    """The one writer of a transactional id; use it from one task at a time."""

    def __init__(self, coordination: Coordination, transactional_id: str, tps: Iterable[TP]) -> None:
        """tps: the partitions whose offsets are committed here."""
        self._coordination = coordination
        self._transactional_id = transactional_id
        self._tps = tuple(tps)
        self._who: Identity | None = None
        self._sequences: dict[TP, int] = defaultdict(int)
        self._batch_bytes = BATCH_BYTES
        self._in_transaction = False
        self.committed: dict[TP, int | None] = {}
        """The group's committed offsets of the lane's partitions."""
        self.retries = 0
        """How often a transaction had to be looked after."""

    async def open(self) -> None:
        """Fence all earlier holders, and see how far they came; waits for as long as Kafka does not answer."""
        self.committed = await self._anew()

    async def commit(self, outputs: Sequence[Output], offsets: Mapping[TP, int]) -> None:
        """Write *outputs* and commit *offsets*, all of it or nothing; waits for as long as Kafka does not answer.

        Fenced: nothing of it took place or will. BrokerError: Kafka will never take it.
        """
        outputs = [output for output in outputs if output.records]
        if not outputs and not offsets:
            return
        wanted = self.committed | dict(offsets)
        window, n_bytes = self._coordination.window, sum(map(_size, outputs))
        waits = iter(_RETRY_WAITS_S)
        while True:
            try:
                async with window.room_for(n_bytes):
                    await self._attempt(outputs, offsets)
            except Superseded as error:
                raise Fenced(f"{self._transactional_id} is another worker's now ({error})") from error
            except TooLarge as error:
                self._batch_bytes //= 2
                if self._batch_bytes < _LEAST_BATCH_BYTES:
                    raise BrokerError(
                        f"a record is larger than the topic takes ({error}); raise max.message.bytes"
                    ) from error
            except Unsure as error:
                log.warning("transaction unsure", lane=self._transactional_id, error=str(error))
                await asyncio.sleep(next(waits, _RETRY_WAITS_S[-1]))
            else:
                break
            self.retries += 1
            found = await self._anew()
            if offsets and found == wanted:
                break
            if found != self.committed:
                raise Fenced(f"{self._transactional_id}: offsets are {_shown(found)}, not {_shown(self.committed)}")
        self.committed = wanted

    async def close(self) -> None:
        """Abort what a cancelled `commit` may have left open, if Kafka answers soon; the lane cannot be used again.

        By a new epoch: records may still be on their way on another connection, and a broker that does not ask whether
        their transaction is under way would write them behind the abort, to stand in every reader's way.
        """
        who, self._who = self._who, None
        if who is not None and self._in_transaction:
            self._in_transaction = False
            with suppress(Unsure, BrokerError, TimeoutError):
                async with asyncio.timeout(_ABORT_WITHIN_S):
                    await self._coordination.give_back(who)

    async def _anew(self) -> dict[TP, int | None]:
        """Take a new epoch; the committed offsets, which nobody else can move from now on."""
        waits = iter(_RETRY_WAITS_S)
        while True:
            try:
                self._who = await self._coordination.take(self._transactional_id)
                self._sequences.clear()
                self._in_transaction = False
                return await self._coordination.committed(self._tps) if self._tps else {}
            except (Unsure, Superseded) as error:
                log.warning("lane not open yet", lane=self._transactional_id, error=str(error))
                await asyncio.sleep(next(waits, _RETRY_WAITS_S[-1]))

    async def _attempt(self, outputs: Sequence[Output], offsets: Mapping[TP, int]) -> None:
        if self._who is None:
            raise Fenced(f"{self._transactional_id} is closed")
        who, coordination = self._who, self._coordination
        self._in_transaction = True
        begin = []
        if outputs:
            begin.append(coordination.add_partitions(who, {TP(topic, partition) for topic, partition, _ in outputs}))
        if offsets:
            begin.append(coordination.add_group(who))
        await together(begin)
        # One after the other: a broker that verifies two requests of one transaction at once refuses the first.
        if outputs:
            await self._produce(who, outputs)
        if offsets:
            await coordination.commit_offsets(who, offsets)
        await coordination.end(who, commit=True)
        self._in_transaction = False

    async def _produce(self, who: Identity, outputs: Sequence[Output]) -> None:
        """A partition takes one record batch with each request, and the batches of a partition in their order.

        A request holds no more than may be under way, so that its answer comes in time; a single record goes anyway.
        """
        waiting: dict[TP, deque[_Records]] = defaultdict(deque)
        for topic, partition, records in outputs:
            parts = waiting[TP(topic, partition)]
            if isinstance(records, RecordColumns):
                parts.append(Packer(records))
            elif parts and isinstance(parts[-1], list):
                parts[-1] += records
            else:
                parts.append(list(records))
        starts = dict.fromkeys(waiting, 0)
        while waiting:
            batches: dict[TP, bytes | bytearray] = {}
            room = self._coordination.window.bytes
            for tp, parts in list(waiting.items()):
                if batches and room < _LEAST_BATCH_BYTES:
                    break
                batches[tp], end = self._batch(who, tp, parts[0], starts[tp], min(self._batch_bytes, room))
                room -= len(batches[tp])
                starts[tp] = end
                if end == len(parts[0]):
                    starts[tp] = 0
                    parts.popleft()
                if not parts:
                    del waiting[tp]
            await self._coordination.produce(who, batches)

    def _batch(
        self, who: Identity, tp: TP, records: _Records, start: int, n_bytes: int
    ) -> tuple[bytes | bytearray, int]:
        """The next record batch of *records* from *start*, of *n_bytes* at most, and where it ends."""
        sequence = self._sequences[tp]
        if isinstance(records, Packer):
            rows = records.rows_from(start, n_bytes)
            self._sequences[tp] = (sequence + rows.stop - start) % _SEQUENCES
            packed = records.batch(rows).bytes_of(who.producer_id, who.epoch, sequence, transactional=True)
            return packed, rows.stop
        builder = DefaultRecordBatchBuilder(
            MAGIC, UNCOMPRESSED, True, who.producer_id, who.epoch, sequence, n_bytes
        )  # fmt: skip
        append, count = builder.append, 0
        for key, value, timestamp_ms, headers in records[start:] if start else records:
            # The first record goes in whatever its size.
            if append(count, timestamp_ms, key, value, headers) is None:
                break
            count += 1
        self._sequences[tp] = (sequence + count) % _SEQUENCES
        return bytes(builder.build()), start + count


class Transactions:
    """The lanes of a worker, by transactional id."""

    def __init__(self, bootstrap: str, group_id: str, request_timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """request_timeout_s: after which an answer is taken for lost, and the lane looks after its transaction."""
        self._group_id = group_id
        self._coordination = Coordination(bootstrap, group_id, request_timeout_s=request_timeout_s)
        self._lanes: dict[str, Lane] = {}

    async def start(self) -> None:
        """Connect to Kafka."""
        await self._coordination.start()

    async def stop(self) -> None:
        """Close what is open."""
        for transactional_id in list(self._lanes):
            await self.close(transactional_id)
        await self._coordination.stop()

    def lane_of(self, topic: str, partition: int, suffix: str = "") -> str:
        """The transactional id of the one lane of an input partition, the same for all workers of the group."""
        return f"{self._group_id}-{topic}-{partition}{suffix}"

    async def open(self, transactional_id: str, tps: Iterable[TP]) -> Lane:
        """The lane of that name, opened anew: all earlier holders, in this worker too, can write no more."""
        lane = self._lanes[transactional_id] = Lane(self._coordination, transactional_id, tps)
        await lane.open()
        return lane

    async def close(self, transactional_id: str) -> None:
        """Close the lane, if it is open."""
        if (lane := self._lanes.pop(transactional_id, None)) is not None:
            await lane.close()


def _size(output: Output) -> int:
    records = output.records
    if isinstance(records, RecordColumns):
        return len(records) * _RECORD_OVERHEAD_BYTES + records.value_bytes
    return sum(_RECORD_OVERHEAD_BYTES + len(value or b"") for _, value, _, _ in records)


def _shown(offsets: Mapping[TP, int | None]) -> str:
    return ", ".join(f"{tp.topic}-{tp.partition}: {offset}" for tp, offset in sorted(offsets.items()))
