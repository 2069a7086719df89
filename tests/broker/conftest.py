"""Fixtures for applications on the batched transport, run inside the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time

import pytest

from app.records import OutRecord
from app.transport import BatchApp


@pytest.fixture(name="new_app")
def _new_app(bootstrap, unique, tmp_path):
    """Make a BatchApp against the test broker; several with the same name share the work."""
    default_name = unique("app")

    def make(name=None, **options):
        settings = {
            "broker": f"kafka://{bootstrap}",
            "store": "memory://",
            "consumer_auto_offset_reset": "earliest",
            "topic_partitions": 2,
            "topic_disable_leader": True,
            "stream_recovery_delay": 0,
            "web_enabled": False,
            "table_standby_replicas": 0,
            "broker_commit_interval": 0.1,
            "broker_max_poll_records": 500,
            "broker_session_timeout": 10.0,
            "datadir": tmp_path / "faust",
            "env": {},
        }
        return BatchApp(name or default_name, **{**settings, **options})

    return make


@pytest.fixture(name="running")
def _running():
    """Run an app for the length of a block and stop it in the end."""

    @contextlib.asynccontextmanager
    async def run(app):
        app.finalize()
        await app.start()
        try:
            yield app
        finally:
            await app.stop()

    return run


@pytest.fixture(name="rows")
def _rows():
    """Numbered records for `publish`."""

    def make(numbers, *, size=0):
        return [OutRecord(b"k", b"%d" % n + b" " * size, int(time.time() * 1000), []) for n in numbers]

    return make


class Proxy:
    """A TCP proxy before a broker that understands Kafka's frames and can lose the answers to chosen requests.

    Requests start with length, API key, API version and correlation id; answers with length and correlation id.
    """

    def __init__(self, port):
        self.address = f"127.0.0.1:{port}"
        self.target = None
        self.answers_lost = 0
        self._to_lose = {}
        self._server = None
        self._tasks = set()

    async def start(self):
        """Listen."""
        host, port = self.address.split(":")
        self._server = await asyncio.start_server(self._connected, host, int(port))

    def lose_answers(self, *, of_api, count):
        """Pass the next *count* requests of that API on, but cut the connection instead of answering."""
        self._to_lose[of_api] = self._to_lose.get(of_api, 0) + count

    async def _connected(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection(*self.target.split(":"))
        doomed = set()
        tasks = [
            asyncio.ensure_future(self._requests(reader, there_writer, doomed)),
            asyncio.ensure_future(self._answers(there_reader, writer, doomed)),
        ]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)
        for each in (writer, there_writer):
            each.close()

    async def _requests(self, reader, writer, doomed):
        while True:
            frame = await self._frame(reader)
            api, _, correlation = struct.unpack(">hhi", frame[4:12])
            if self._to_lose.get(api, 0):
                self._to_lose[api] -= 1
                doomed.add(correlation)
            writer.write(frame)
            await writer.drain()

    async def _answers(self, reader, writer, doomed):
        while True:
            frame = await self._frame(reader)
            if struct.unpack(">i", frame[4:8])[0] in doomed:
                self.answers_lost += 1
                return
            writer.write(frame)
            await writer.drain()

    async def _frame(self, reader):
        head = await reader.readexactly(4)
        return head + await reader.readexactly(struct.unpack(">i", head)[0])

    async def stop(self):
        """Close every connection and stop listening."""
        for task in list(self._tasks):
            task.cancel()
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture(name="proxied")
async def _proxied(start_kafka):
    """A broker of the test's own and a proxy through which all its clients must go: `kafka, proxy`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    proxy = Proxy(port)
    kafka = await asyncio.to_thread(start_kafka, listeners={"PROXIED": proxy.address})
    proxy.target = kafka.addresses["PROXIED"]
    await proxy.start()
    yield kafka, proxy
    await proxy.stop()
