"""Kafka's clients on the worker's event loop, when a connection is cut under them."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from app.transport import patience

pytestmark = pytest.mark.broker


def test_a_request_into_a_reset_connection_is_a_lost_connection(bootstrap, monkeypatch):
    """Between the reset and its news the client is told that the connection broke, which it asks again after.

    Broken by aiokafka's own `send`: uvloop's RuntimeError comes through, and a producer never recovers from it.
    """
    monkeypatch.setattr(AIOKafkaConnection, "send", patience._send_or_lose)

    async def cut_and_ask() -> list[BaseException | None]:
        client = AIOKafkaClient(bootstrap_servers=bootstrap)
        await client.bootstrap()
        try:
            connection = await client._get_conn(client.get_random_node())
            connection._writer.transport.abort()
            answers = [await asyncio.gather(_ask(connection), return_exceptions=True) for _ in range(5)]
        finally:
            await client.close()
        return [answer for (answer,) in answers]

    async def _ask(connection: AIOKafkaConnection) -> None:
        await connection.send(MetadataRequest([]))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(cut_and_ask())

    assert [type(answer) for answer in answers] == [KafkaConnectionError] * 5
