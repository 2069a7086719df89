"""A TCP proxy before a broker that understands Kafka's frames, loaded as a pytest plugin: faults of the network.

Requests start with length, API key, API version and correlation id; answers with length and correlation id. A listener
of the broker advertises the proxy's port (`EmbeddedKafka.start(listeners=...)`), so that every client goes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from enum import IntEnum
from io import BytesIO

import pytest
from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnResponse_v0,
    AddPartitionsToTxnRequest_v0,
    AddPartitionsToTxnResponse_v0,
    EndTxnResponse_v0,
    InitProducerIdResponse_v0,
    TxnOffsetCommitRequest_v0,
    TxnOffsetCommitResponse_v0,
)

HELD_ANSWER_S = 5.0
"""How long the broker may take to answer a request that was held back and released."""


class Api(IntEnum):
    """Kafka's numbers for the requests that tests meddle with."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


VERSIONS = {
    Api.PRODUCE: 7,
    Api.INIT_PRODUCER_ID: 0,
    Api.ADD_PARTITIONS_TO_TXN: 0,
    Api.ADD_OFFSETS_TO_TXN: 0,
    Api.END_TXN: 0,
    Api.TXN_OFFSET_COMMIT: 0,
}
"""Of the requests that can be answered with an error: the versions that aiokafka sends."""


def refusal(frame: bytes, code: int) -> bytes:
    """The answer that refuses the request in *frame* with an error *code*, for every partition that it names."""
    api, version, correlation = struct.unpack(">hhi", frame[4:12])
    if VERSIONS.get(api) != version:
        raise NotImplementedError(f"no refusal of API {api} v{version} is known")
    body = BytesIO(frame[4:])
    RequestHeader_v1.decode(body)
    match api:
        case Api.PRODUCE:
            topics = ProduceRequest_v7.decode(body).topics
            parts = [(topic, [(part[0], code, -1, -1, -1) for part in each]) for topic, each in topics]
            answer = ProduceResponse_v7(parts, 0)
        case Api.INIT_PRODUCER_ID:
            answer = InitProducerIdResponse_v0(0, code, -1, -1)
        case Api.ADD_PARTITIONS_TO_TXN:
            topics = AddPartitionsToTxnRequest_v0.decode(body).topics
            answer = AddPartitionsToTxnResponse_v0(0, [(topic, [(p, code) for p in each]) for topic, each in topics])
        case Api.TXN_OFFSET_COMMIT:
            topics = TxnOffsetCommitRequest_v0.decode(body).topics
            answer = TxnOffsetCommitResponse_v0(0, [(topic, [(p[0], code) for p in each]) for topic, each in topics])
        case Api.ADD_OFFSETS_TO_TXN:
            answer = AddOffsetsToTxnResponse_v0(0, code)
        case _:
            answer = EndTxnResponse_v0(0, code)
    content = struct.pack(">i", correlation) + answer.encode()
    return struct.pack(">i", len(content)) + content


@dataclass(eq=False)
class Rule:
    """What happens to some of the requests; made by the methods of `Proxy`."""

    apis: Collection[int]
    do: str
    left: int
    skip: int = 0
    seconds: float = 0.0
    code: int = 0
    executed: bool = False
    call: Callable[[], Awaitable[None]] | None = None
    met: int = 0
    """How many requests it has been done to."""
    was_met: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    holding: list[_Connection] = field(default_factory=list)

    def takes(self, api: int) -> bool:
        """Whether it is to be done to the request at hand, which counts."""
        if api not in self.apis or self.left <= 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        self.met += 1
        self.was_met.set()
        return True

    def release(self) -> None:
        """Let what is held back go on to the broker, also if its sender has gone."""
        self.released.set()

    def cut_clients(self) -> None:
        """Reset the connections of those whose requests are held back; the requests stay held."""
        for connection in self.holding:
            connection.reset_client()


@dataclass(eq=False)
class _Asked:
    """A request in flight: answers leave in the order of their requests, made up ones too."""

    correlation: int
    answer: bytes | None = None
    instead: bytes | None = None
    """What the client is told, whatever the broker answers."""
    rule: Rule | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class _Pipe:
    """Writes in order, each piece not before its time, and no faster than the line allows."""

    def __init__(self, proxy: Proxy, writer: asyncio.StreamWriter, *, may_break: bool = False) -> None:
        """may_break: what can no longer be written is dropped; whoever reads from the other side will know."""
        self._proxy, self._writer, self._may_break = proxy, writer, may_break
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.empty = asyncio.Event()
        self.empty.set()

    def send(self, data: bytes) -> None:
        self.empty.clear()
        self._queue.put_nowait((asyncio.get_running_loop().time() + self._proxy.latency_s, data))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await self._queue.get()
            if (wait_s := due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            try:
                await self._write(data)
            except OSError:
                if not self._may_break:
                    raise
            if self._queue.empty():
                self.empty.set()

    async def _write(self, data: bytes) -> None:
        while data:
            rate = self._proxy.bytes_per_s
            piece, data = (data, b"") if rate is None else (data[:4096], data[4096:])
            self._writer.write(piece)
            await self._writer.drain()
            if rate is not None:
                await asyncio.sleep(len(piece) / rate)


class _Connection:
    """One client's connection and the one to the broker that belongs to it."""

    def __init__(self, proxy: Proxy, client: tuple, broker: tuple) -> None:
        self._proxy = proxy
        self._from_client, self._client = client
        self._from_broker, self._broker = broker
        self._to_client, self._to_broker = _Pipe(proxy, self._client, may_break=True), _Pipe(proxy, self._broker)
        self._asked: deque[_Asked] = deque()
        self._deaf = self._mute = False

    async def run(self) -> None:
        """Until one side closes, or a fault does."""
        work = (self._requests(), self._answers(), self._to_client.run(), self._to_broker.run())
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                usual = end is None or isinstance(end, OSError | EOFError | asyncio.CancelledError)
                if not usual:
                    self._proxy.errors.append(end)
            for writer in (self._client, self._broker):
                writer.close()

    async def _requests(self) -> None:
        while True:
            frame = await _read_frame(self._from_client)
            if self._deaf:
                continue
            api, _, correlation = struct.unpack(">hhi", frame[4:12])
            asked = _Asked(correlation)
            self._proxy.note(api)
            rule = self._proxy.rule_for(api)
            if rule is None:
                self._forward(frame, asked)
            elif await self._meddle(frame, asked, rule):
                return

    def _forward(self, frame: bytes, asked: _Asked) -> None:
        self._asked.append(asked)
        self._to_broker.send(frame)

    async def _meddle(self, frame: bytes, asked: _Asked, rule: Rule) -> bool:
        """Do what *rule* says; True if that was the end of the connection."""
        match rule.do:
            case "delay":
                await asyncio.sleep(rule.seconds)
            case "black_hole":
                self._deaf = True
                return False
            case "hold":
                await self._hold(frame, asked, rule)
                return False
            case "cut_request":
                self._to_broker.send(frame[: len(frame) // 2])
                await self._to_broker.empty.wait()
                self.reset()
                return True
            case "inject":
                asked.instead = refusal(frame, rule.code)
                if not rule.executed:
                    asked.answer = asked.instead
                    self._asked.append(asked)
                    self._tell()
                    return False
            case "call" if rule.call is not None:
                await rule.call()
        asked.rule = rule
        self._forward(frame, asked)
        return False

    async def _hold(self, frame: bytes, asked: _Asked, rule: Rule) -> None:
        rule.holding.append(self)
        await rule.released.wait()
        self._forward(frame, asked)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.answered.wait(), HELD_ANSWER_S)

    async def _answers(self) -> None:
        while True:
            frame = await _read_frame(self._from_broker)
            correlation = struct.unpack(">i", frame[4:8])[0]
            asked = next(each for each in self._asked if each.correlation == correlation)
            asked.answer = asked.instead or frame
            asked.answered.set()
            match asked.rule.do if asked.rule else "":
                case "lose_answer":
                    self._proxy.answers_lost += 1
                    return
                case "black_hole_answer":
                    self._mute = True
                case "delay_answer" if asked.rule:
                    await asyncio.sleep(asked.rule.seconds)
                case "cut_answer":
                    self._to_client.send(frame[: len(frame) // 2])
                    await self._to_client.empty.wait()
                    self.reset()
                    return
            self._tell()

    def _tell(self) -> None:
        while self._asked and (answer := self._asked[0].answer) is not None:
            self._asked.popleft()
            if not self._mute:
                self._to_client.send(answer)

    def reset(self) -> None:
        """RST on both sides."""
        for writer in (self._client, self._broker):
            _reset(writer)

    def reset_client(self) -> None:
        """RST to the client alone."""
        _reset(self._client)


class Proxy:
    """Passes everything on until it is told otherwise; `heal` takes all faults back."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.target: str | None = None
        self.answers_lost = 0
        self.latency_s = 0.0
        """One way, for both ways."""
        self.bytes_per_s: float | None = None
        """Of each connection and way."""
        self.is_down = False
        """New connections are closed at once."""
        self.errors: list[BaseException] = []
        """What went wrong in the proxy itself."""
        self._rules: list[Rule] = []
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[Collection[int], asyncio.Event]] = []

    async def start(self) -> None:
        """Listen."""
        host, port = self.address.split(":")
        self._server = await asyncio.start_server(self._connected, host, int(port))

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.close()
        await self._server.wait_closed()

    # -- faults of single requests: each returns the rule, which tells how often it was met

    def lose_answers(self, *, of_api: int, count: int = 1, skip: int = 0) -> Rule:
        """Pass the next *count* requests of that API on, but cut the connection instead of answering."""
        return self._add({of_api}, "lose_answer", count, skip=skip)

    def delay(self, *apis: int, seconds: float, count: int = 1, skip: int = 0, answers: bool = False) -> Rule:
        """Keep requests, or their answers, and all that follows them for a while."""
        return self._add(apis, "delay_answer" if answers else "delay", count, skip=skip, seconds=seconds)

    def black_hole(self, *apis: int, count: int = 1, skip: int = 0, answers: bool = False) -> Rule:
        """From the request (or its answer) on nothing comes through on that connection, which stays open."""
        return self._add(apis, "black_hole_answer" if answers else "black_hole", count, skip=skip)

    def hold(self, *apis: int, count: int = 1, skip: int = 0) -> Rule:
        """Keep requests until `Rule.release`: they reach the broker even if their sender has gone meanwhile."""
        return self._add(apis, "hold", count, skip=skip)

    def cut(self, *apis: int, count: int = 1, skip: int = 0, answers: bool = False) -> Rule:
        """Pass half of a request (or of its answer) on, then reset the connection."""
        return self._add(apis, "cut_answer" if answers else "cut_request", count, skip=skip)

    def inject(self, *apis: int, code: int, count: int = 1, skip: int = 0, executed: bool = False) -> Rule:
        """Answer with an error *code*; executed: although the broker has done what was asked."""
        return self._add(apis, "inject", count, skip=skip, code=code, executed=executed)

    def call(self, *apis: int, call: Callable[[], Awaitable[None]], count: int = 1, skip: int = 0) -> Rule:
        """Await *call* before a request goes on."""
        return self._add(apis, "call", count, skip=skip, call=call)

    # -- faults of the line

    def reset(self) -> int:
        """RST on every connection there is; how many there were."""
        for connection in list(self._connections):
            connection.reset()
        return len(self._connections)

    def heal(self) -> None:
        """No more faults; what is held back goes on."""
        for rule in self._rules:
            rule.left = 0
            rule.release()
        self._rules.clear()
        self.latency_s, self.bytes_per_s, self.is_down = 0.0, None, False

    async def seen(self, *apis: int, timeout_s: float = 30.0) -> None:
        """Wait for the next request of one of *apis*."""
        event = asyncio.Event()
        self._waiting.append((apis, event))
        await asyncio.wait_for(event.wait(), timeout_s)

    # -- of its connections

    def note(self, api: int) -> None:
        """A request has come."""
        for waiting in list(self._waiting):
            if api in waiting[0]:
                waiting[1].set()
                self._waiting.remove(waiting)

    def rule_for(self, api: int) -> Rule | None:
        """What is to be done to a request."""
        return next((rule for rule in self._rules if rule.takes(api)), None)

    def _add(self, apis: Collection[int], do: str, count: int, **more: object) -> Rule:
        rule = Rule(frozenset(apis), do, count, **more)
        self._rules.append(rule)
        return rule

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            if self.is_down:
                _reset(writer)
                return
            try:
                broker = await asyncio.open_connection(*self.target.split(":"))
            except OSError:  # the broker is away, and the proxy answers no other than it would
                _reset(writer)
                return
            connection = _Connection(self, (reader, writer), broker)
            self._connections.add(connection)
            try:
                await connection.run()
            finally:
                self._connections.discard(connection)
        except asyncio.CancelledError:
            pass  # `stop`: asyncio would log a server's task that ends by it
        finally:
            self._tasks.discard(task)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack(">i", head)[0])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def proxied(start_kafka):
    """A broker of the test's own and a proxy through which all its clients must go: `kafka, proxy`."""
    proxy = Proxy(free_port())
    kafka = await asyncio.to_thread(start_kafka, listeners={"PROXIED": proxy.address})
    proxy.target = kafka.addresses["PROXIED"]
    await proxy.start()
    yield kafka, proxy
    await proxy.stop()
