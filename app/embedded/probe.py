"""What is asked of the machine and of the broker: free ports, and whether Kafka answers."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

from app.embedded.properties import HOST
from app.errors import EmbeddedKafkaError

_METADATA, _VERSION, _CORRELATION = 3, 1, 1
_LOWEST_PORT = 15_000
_EPHEMERAL_PORT = 32_768
"""Where Linux begins to take ports for outgoing connections, unless it is told otherwise."""
_TRIES = 1_000


def free_ports(n: int) -> list[int]:
    """*n* different ports that nobody listens on, below those that the system hands out.

    A client that tries to reconnect to a stopped broker on loopback can be given the broker's own port as its source:
    then it is connected to itself and the broker cannot come back. This does not happen outside the ephemeral range.
    """
    top = max(_ephemeral_start(), _LOWEST_PORT + 1_000)
    with ExitStack() as taken:
        ports: list[int] = []
        for _ in range(_TRIES):
            if len(ports) == n:
                return ports
            candidate = taken.enter_context(socket.socket())
            try:
                candidate.bind((HOST, random.randrange(_LOWEST_PORT, top)))  # noqa: S311 - no secret
            except OSError:
                continue
            ports.append(candidate.getsockname()[1])
    raise EmbeddedKafkaError(f"found no {n} free ports between {_LOWEST_PORT} and {top} in {_TRIES} tries")


def is_free(port: int) -> bool:
    """True if *port* of loopback can be listened on."""
    with socket.socket() as candidate:
        # As Kafka does: connections of a broker that just ended do not count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def _ephemeral_start() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_PORT


def answers(port: int, *, timeout_s: float = 2.0) -> bool:
    """True if a broker on this port of loopback answers a metadata request and names itself as available."""
    # Kafka protocol: Metadata version 1 with an empty list of topics, so that the answer is brokers only.
    request = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _receive(connection, 4))
            correlation, n_brokers = struct.unpack(">ii", _receive(connection, size)[:8])
    except (OSError, struct.error, EOFError):
        return False
    return bool(correlation == _CORRELATION and n_brokers > 0)


def _receive(connection: socket.socket, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = connection.recv(size - len(chunks))
        if not chunk:
            raise EOFError
        chunks += chunk
    return bytes(chunks)
