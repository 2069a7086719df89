"""A TCP proxy before a broker that understands Kafka's frames, loaded as a pytest plugin: faults of the network.

Requests start with length, API key, API version and correlation id; answers with length and correlation id. A listener
of the broker advertises the proxy's port (`EmbeddedKafka.start(listeners=...)`), so that every client goes through it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection

import pytest

from tests.kafka_frames import Api
from tests.proxy_lines import Connection, Rule, reset

__all__ = ["Api", "Proxy", "Rule", "free_port"]

Where = Callable[[bytes], object] | None


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
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: list[Rule] = []

    async def start(self) -> None:
        """Listen."""
        host, port = self.address.split(":")
        self._server = await asyncio.start_server(self._connected, host, int(port))

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted connections in its next turn
        self._server.close()
        await self._server.wait_closed()

    # -- faults of single requests: each returns the rule, which tells how often it was met; `where` chooses by frame

    def lose_answers(self, *, of_api: int, count: int = 1, skip: int = 0) -> Rule:
        """Pass the next *count* requests of that API on, but cut the connection instead of answering."""
        return self._add({of_api}, "lose_answer", count, skip=skip)

    def delay(self, *apis: int, seconds: float, count: int = 1, skip: int = 0, answers: bool = False) -> Rule:
        """Keep requests, or their answers, and all that follows them for a while."""
        return self._add(apis, "delay_answer" if answers else "delay", count, skip=skip, seconds=seconds)

    def black_hole(self, *apis: int, count: int = 1, skip: int = 0, answers: bool = False) -> Rule:
        """From the request (or its answer) on nothing comes through on that connection, which stays open."""
        return self._add(apis, "black_hole_answer" if answers else "black_hole", count, skip=skip)

    def hold(self, *apis: int, count: int = 1, skip: int = 0, where: Where = None) -> Rule:
        """Keep requests until `Rule.release`: they reach the broker even if their sender has gone meanwhile."""
        return self._add(apis, "hold", count, skip=skip, where=where)

    def cut(self, *apis: int, count: int = 1, skip: int = 0, answers: bool = False) -> Rule:
        """Pass half of a request (or of its answer) on, then reset the connection."""
        return self._add(apis, "cut_answer" if answers else "cut_request", count, skip=skip)

    def inject(
        self, *apis: int, code: int, count: int = 1, skip: int = 0, executed: bool = False, where: Where = None
    ) -> Rule:
        """Answer with an error *code*; executed: although the broker has done what was asked."""
        return self._add(apis, "inject", count, skip=skip, code=code, executed=executed, where=where)

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

    async def seen(self, *apis: int, timeout_s: float = 30.0, where: Where = None) -> None:
        """Wait for the next request of one of *apis*."""
        rule = Rule(frozenset(apis), "see", 1, where=where)
        self._watching.append(rule)
        try:
            await asyncio.wait_for(rule.was_met.wait(), timeout_s)
        finally:
            self._watching.remove(rule)

    # -- of its connections

    def note(self, api: int, frame: bytes) -> None:
        """A request has come."""
        for rule in self._watching:
            rule.takes(api, frame)

    def rule_for(self, api: int, frame: bytes) -> Rule | None:
        """What is to be done to a request."""
        return next((rule for rule in self._rules if rule.takes(api, frame)), None)

    def _add(self, apis: Collection[int], do: str, count: int, **more: object) -> Rule:
        rule = Rule(frozenset(apis), do, count, **more)
        self._rules.append(rule)
        return rule

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            if self.is_down:
                reset(writer)
                return
            try:
                broker = await asyncio.open_connection(*self.target.split(":"))
            except OSError:  # the broker is away, and the proxy answers no other than it would
                reset(writer)
                return
            connection = Connection(self, (reader, writer), broker)
            self._connections.add(connection)
            try:
                await connection.run()
            finally:
                self._connections.discard(connection)
        except asyncio.CancelledError:
            pass  # `stop`: asyncio would log a server's task that ends by it
        finally:
            writer.close()
            self._tasks.discard(task)


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
