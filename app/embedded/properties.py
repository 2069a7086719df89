"""The configuration of the broker: one node that is broker and controller, on loopback, small and quick to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import EmbeddedKafkaError

HOST = "127.0.0.1"
NODE_ID = 1
CLIENT = "PLAINTEXT"
"""The listener that clients use."""
CONTROLLER = "CONTROLLER"

DEFAULTS: Mapping[str, str] = {
    # one node holds one copy of everything
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    # a topic that nobody created is a mistake, and should look like one
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    # replayed events are old by their timestamps: the week that Kafka keeps by default would delete them at once
    "log.retention.ms": "-1",
    # nobody waits for members that never come; tests choose short sessions
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # a transaction whose owner died is aborted within a second of its time-out
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # after a kill -9 a broker may register again only when the session of its former self is over
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # a small heap: the cleaner's 128 MB buffer and 10 MB of index per segment are for other sizes
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.index.size.max.bytes": "2097152",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each listener of the broker, on 127.0.0.1."""

    controller: int
    clients: Mapping[str, int]
    """Listener name to port; `PLAINTEXT` is always there."""


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """All that the broker's properties are made of, but the ports, which are found at each start."""

    data: Path
    """The folder that holds topics and metadata."""
    advertised: Mapping[str, str | None] = field(default_factory=dict)
    """Client listeners: name to the `host:port` that clients are told, None for the listener's own address."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Broker settings that replace ours."""

    def __post_init__(self) -> None:
        for name, address in self.advertised.items():
            if not name.isupper() or name == CONTROLLER:
                raise EmbeddedKafkaError(f"listener {name!r}: a listener is named in capitals, like PROXIED")
            if address is not None and not address.rpartition(":")[2].isdigit():
                raise EmbeddedKafkaError(f"listener {name} is advertised as {address!r}: give host:port")

    @property
    def client_listeners(self) -> tuple[str, ...]:
        """The names of the client listeners, `PLAINTEXT` first."""
        return (CLIENT, *(name for name in self.advertised if name != CLIENT))

    def properties(self, ports: Ports) -> dict[str, str]:
        """Broker settings by name, for these ports."""
        bound = {name: f"{HOST}:{ports.clients[name]}" for name in self.client_listeners}
        told = {name: self.advertised.get(name) or address for name, address in bound.items()}
        controller = f"{HOST}:{ports.controller}"
        names = (*self.client_listeners, CONTROLLER)
        ours = {
            "process.roles": "broker,controller",
            "node.id": str(NODE_ID),
            "controller.quorum.voters": f"{NODE_ID}@{controller}",
            "controller.listener.names": CONTROLLER,
            "inter.broker.listener.name": CLIENT,
            "listeners": ",".join(f"{name}://{at}" for name, at in {**bound, CONTROLLER: controller}.items()),
            "advertised.listeners": ",".join(f"{name}://{at}" for name, at in {**told, CONTROLLER: controller}.items()),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
            "log.dirs": str(self.data),
        }
        return {**ours, **DEFAULTS, **self.extra}


def render_properties(properties: Mapping[str, str]) -> str:
    r"""The text of a Java properties file with these values.

    >>> print(render_properties({"log.dirs": "/odd\\folder"}), end="")
    log.dirs=/odd\\folder
    """
    escapes = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
    return "".join(f"{name}={value.translate(escapes)}\n" for name, value in properties.items())
