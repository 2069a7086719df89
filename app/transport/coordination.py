"""Kafka's transaction protocol, request by request, over one client that all lanes of a worker share.

aiokafka's own transactional producer asks again after a time-out or a lost connection. The first request may still be
on its way then, and end the *next* transaction when it arrives (KAFKA-17754). Here whatever is not plainly done or
plainly refused ends the attempt as `Unsure`; the lane then takes a new epoch, and all that is on its way is void.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import repeat
from typing import Any, NamedTuple

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)
from faust.types import TP

from app.errors import BrokerError
from app.transport.answers import CONCURRENT, UNSTABLE, UNVERIFIED, Superseded, Unsure, check, codes_of, together
from app.transport.frames import NextEpoch, OffsetFetch, fetched_offsets
from app.transport.window import Window

REQUEST_TIMEOUT_S = 15.0
_LEAST_TIMEOUT_S = 2.0
TRANSACTION_TIMEOUT_S = 60.0
"""After so long Kafka aborts a transaction of which nobody speaks any more; readers wait for it until then."""
_BUSY_WAITS_S = (0.001, 0.002, 0.005, 0.01, 0.02)
"""Between attempts while Kafka still ends the transaction before; each twice, the last one for ever."""
ACKS_ALL = -1


def answer_within_s(stuck_s: float) -> float:
    """After how long an answer is taken for lost, where commits that stand still for *stuck_s* end the worker.

    A lane asks several times before that, and before the worker says that it is not ready.

    >>> answer_within_s(120.0), answer_within_s(40.0), answer_within_s(8.0)
    (15.0, 5.0, 2.0)
    """
    return min(REQUEST_TIMEOUT_S, max(_LEAST_TIMEOUT_S, stuck_s / 8))


class Identity(NamedTuple):
    """Who writes: of all with one transactional id, only the latest epoch may."""

    transactional_id: str
    producer_id: int
    epoch: int


class Coordination:
    """The requests that lanes make; each raises Unsure, Superseded, TooLarge or BrokerError unless it succeeded."""

    def __init__(self, bootstrap: str, group_id: str, *, request_timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._bootstrap = bootstrap
        self._group_id = group_id
        self._timeout_ms = int(request_timeout_s * 1000)
        self.window = Window(long_s=request_timeout_s)
        """What may be under way of all transactions together."""
        self._client: AIOKafkaClient | None = None
        self._nodes: dict[tuple[int, str], int] = {}

    async def start(self) -> None:
        """Connect."""
        client = AIOKafkaClient(
            bootstrap_servers=self._bootstrap, client_id=self._group_id, request_timeout_ms=self._timeout_ms
        )
        try:
            await client.bootstrap()
        except errors.KafkaError as error:
            await client.close()
            raise BrokerError(f"no broker answers at {self._bootstrap}: {error}") from error
        self._client = client

    async def stop(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    # -- who writes

    async def take(self, transactional_id: str) -> Identity:
        """A new epoch of *transactional_id*: Kafka ends what earlier ones left open, and refuses them from now on."""
        what = f"an epoch of {transactional_id}"
        request = InitProducerIdRequest(transactional_id, int(TRANSACTION_TIMEOUT_S * 1000))
        answer = await self._while_busy(
            lambda: self._ask_coordinator(CoordinationType.TRANSACTION, transactional_id, request, what), what
        )
        return Identity(transactional_id, answer.producer_id, answer.producer_epoch)

    async def give_back(self, who: Identity) -> None:
        """Have Kafka abort what *who* left open, and refuse what of it is still on its way; nobody else is fenced."""
        what = f"the last epoch of {who.transactional_id}"
        request = NextEpoch(who.transactional_id, int(TRANSACTION_TIMEOUT_S * 1000), who.producer_id, who.epoch)
        with suppress(Superseded):  # by another worker, or by what was asked before: either way there is nothing left
            await self._while_busy(
                lambda: self._ask_coordinator(CoordinationType.TRANSACTION, who.transactional_id, request, what), what
            )

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        """The group's committed offset of each partition, None where there is none.

        Waits while a transaction that has ended is not through with them: Kafka before 4.0 moves the offsets some time
        after it has said that a transaction is committed.
        """
        what = f"the committed offsets of {self._group_id}"
        request = OffsetFetch(self._group_id, _by_topic((tp, None) for tp in tps))
        waits = _busy_waits_s()
        while True:
            answer = await self._ask_coordinator(CoordinationType.GROUP, self._group_id, request, what)
            fetched = fetched_offsets(answer)
            codes = {answer.error_code, *(code for _, code in fetched.values())}
            if UNSTABLE not in codes:
                for code in codes:
                    check(code, what)
                return {TP(*at): None if offset < 0 else offset for at, (offset, _) in fetched.items()}
            await asyncio.sleep(next(waits))

    # -- one transaction

    async def add_partitions(self, who: Identity, tps: Iterable[TP]) -> None:
        """The transaction will write to *tps*."""
        what = f"partitions of {who.transactional_id}"
        request = AddPartitionsToTxnRequest(*who, _by_topic((tp, None) for tp in tps))
        await self._while_busy(
            lambda: self._ask_coordinator(CoordinationType.TRANSACTION, who.transactional_id, request, what), what
        )

    async def add_group(self, who: Identity) -> None:
        """The transaction will commit offsets of the group."""
        what = f"offsets of {who.transactional_id}"
        request = AddOffsetsToTxnRequest(*who, self._group_id)
        await self._while_busy(
            lambda: self._ask_coordinator(CoordinationType.TRANSACTION, who.transactional_id, request, what), what
        )

    async def produce(self, who: Identity, batches: Mapping[TP, bytes | bytearray]) -> None:
        """Write one record batch to each of the partitions; acknowledged by all replicas."""
        by_node: dict[int, list[tuple[TP, bytes | bytearray]]] = defaultdict(list)
        for tp, batch in batches.items():
            by_node[await self._leader(tp)].append((tp, batch))
        await together(self._produce(who, node, part) for node, part in by_node.items())

    async def _produce(self, who: Identity, node: int, batches: list[tuple[TP, bytes | bytearray]]) -> None:
        """Asks again for the partitions whose broker could not verify the transaction: it has written nothing there."""
        what = f"records of {who.transactional_id}"
        for wait_s in (*_BUSY_WAITS_S, None):
            request = ProduceRequest(who.transactional_id, ACKS_ALL, self._timeout_ms, _by_topic(batches))
            codes: dict[TP, int] = {}
            try:
                answer = await self._send(node, request, what, ConnectionGroup.DEFAULT)
                for topic, partitions in answer.topics:
                    for partition, code, *_ in partitions:
                        codes[TP(topic, partition)] = code
                        if code != UNVERIFIED or wait_s is None:
                            check(code, f"{what} to {topic}-{partition}")
            except Unsure:
                self._connected.force_metadata_update()
                raise
            batches = [(tp, batch) for tp, batch in batches if codes.get(tp)]
            if not batches or wait_s is None:
                return
            await asyncio.sleep(wait_s)

    async def commit_offsets(self, who: Identity, offsets: Mapping[TP, int]) -> None:
        """Commit *offsets* of the group with the transaction."""
        what = f"offsets of {who.transactional_id}"
        entries = _by_topic((tp, (offset, "")) for tp, offset in offsets.items())
        flat = [(topic, [(partition, *entry) for partition, entry in parts]) for topic, parts in entries]
        request = TxnOffsetCommitRequest(who.transactional_id, self._group_id, who.producer_id, who.epoch, flat)
        answer = await self._ask_coordinator(CoordinationType.GROUP, self._group_id, request, what)
        for _, partitions in answer.errors:
            for _, code in partitions:
                check(code, what)

    async def end(self, who: Identity, *, commit: bool) -> None:
        """Commit or abort the transaction."""
        what = f"the end of a transaction of {who.transactional_id}"
        request = EndTxnRequest(*who, commit)
        answer = await self._ask_coordinator(CoordinationType.TRANSACTION, who.transactional_id, request, what)
        check(answer.error_code, what)

    # -- sending

    @property
    def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            raise Unsure("not connected")
        return self._client

    async def _while_busy(self, ask: Any, what: str) -> Any:
        """The answer, once Kafka has done with the transaction before; a plain refusal, so asking again is safe."""
        waits = _busy_waits_s()
        while True:
            answer = await ask()
            codes = codes_of(answer)
            if CONCURRENT not in codes:
                for code in codes:
                    check(code, what)
                return answer
            await asyncio.sleep(next(waits))

    async def _ask_coordinator(self, kind: int, key: str, request: Any, what: str) -> Any:
        node = self._nodes.get((kind, key))
        if node is None:
            node = await self._look_up(kind, key, what)
        try:
            answer = await self._send(node, request, what, ConnectionGroup.COORDINATION)
        except Unsure:
            self._nodes.clear()
            raise
        if any(code not in (0, CONCURRENT) for code in codes_of(answer)):
            self._nodes.pop((kind, key), None)
        return answer

    async def _look_up(self, kind: int, key: str, what: str) -> int:
        try:
            node: int = await self._connected.coordinator_lookup(kind, key)
        except errors.KafkaError as error:
            raise Unsure(f"{what}: no coordinator: {error!r}") from error
        self._nodes[kind, key] = node
        return node

    async def _leader(self, tp: TP) -> int:
        client = self._connected
        try:
            await client._wait_on_metadata(tp.topic)  # noqa: SLF001  how aiokafka's own producer learns of a topic
        except errors.KafkaError as error:
            raise Unsure(f"topic {tp.topic}: {error!r}") from error
        leader = client.cluster.leader_for_partition(tp)
        if leader is None or leader < 0:
            client.force_metadata_update()
            raise Unsure(f"{tp.topic}-{tp.partition} has no leader")
        return int(leader)

    async def _send(self, node: int, request: Any, what: str, group: int) -> Any:
        try:
            return await self._connected.send(node, request, group=group)
        except (errors.KafkaError, OSError) as error:
            raise Unsure(f"{what}: {error!r}") from error


def _busy_waits_s() -> Iterator[float]:
    for wait_s in _BUSY_WAITS_S:
        yield from (wait_s, wait_s)
    yield from repeat(_BUSY_WAITS_S[-1])


def _by_topic(entries: Iterable[tuple[TP, Any]]) -> list[tuple[str, list[Any]]]:
    """[(topic, [partition, ...])], or [(topic, [(partition, value), ...])] where values are given."""
    found: dict[str, list[Any]] = defaultdict(list)
    for tp, value in entries:
        found[tp.topic].append(tp.partition if value is None else (tp.partition, value))
    return list(found.items())
