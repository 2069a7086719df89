"""Connections through the proxy: what is done to single requests, to their answers, and to the line itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.kafka_frames import read_frame, refusal

if TYPE_CHECKING:
    from tests.proxy import Proxy

HELD_ANSWER_S = 5.0
"""How long the broker may take to answer a request that was held back and released."""


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
    where: Callable[[bytes], object] | None = None
    """Which of the requests, by their frame; all if absent."""
    met: int = 0
    """How many requests it has been done to."""
    was_met: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    holding: list[Connection] = field(default_factory=list)
    frame: bytes = b""
    """The last request that it was done to."""

    def takes(self, api: int, frame: bytes) -> bool:
        """Whether it is to be done to the request at hand, which counts."""
        if api not in self.apis or self.left <= 0 or not (self.where is None or self.where(frame)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        self.met += 1
        self.frame = frame
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


class Connection:
    """One client's connection and the one to the broker that belongs to it."""

    def __init__(self, proxy: Proxy, client: tuple, broker: tuple) -> None:
        self._proxy = proxy
        self._from_client, self._client = client
        self._from_broker, self._broker = broker
        self._to_client, self._to_broker = _Pipe(proxy, self._client, may_break=True), _Pipe(proxy, self._broker)
        self._asked: deque[_Asked] = deque()
        self._deaf = self._mute = False
        self.client_port: int = self._client.get_extra_info("peername")[1]
        self.closed = asyncio.Event()

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
            await asyncio.gather(*(w.wait_closed() for w in (self._client, self._broker)), return_exceptions=True)
            self.closed.set()

    async def _requests(self) -> None:
        while True:
            frame = await read_frame(self._from_client)
            if self._deaf:
                continue
            api, _, correlation = struct.unpack(">hhi", frame[4:12])
            asked = _Asked(correlation)
            self._proxy.note(api, frame)
            rule = self._proxy.rule_for(api, frame)
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
            frame = await read_frame(self._from_broker)
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
            reset(writer)

    def reset_client(self) -> None:
        """RST to the client alone."""
        reset(self._client)


def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of an orderly end."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
