"""The Python around the Java peer: its lock, and when it has to be compiled again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.embedded.java import Java
from app.embedded.lock import read_lock
from app.errors import EmbeddedKafkaError
from benchmarks.peers import kafka_streams
from benchmarks.peers.kafka_streams import compiling
from benchmarks.peers.kafka_streams.compiling import classpath, find_javac, key
from benchmarks.peers.kafka_streams.jars import COMPILER, ROOTS, lock_text, peer_lock


@pytest.fixture
def source(tmp_path):
    """A file of Java source."""
    path = tmp_path / "Peer.java"
    path.write_text("class Peer {}")
    return path


def test_the_peer_has_the_kafka_that_the_embedded_broker_has() -> None:
    """A move to another Kafka takes both locks, and everything that the second is resolved from stands in it."""
    lock = peer_lock()

    assert lock.version == read_lock().version
    assert {root.format(version=lock.version) for root in ROOTS} <= {jar.coordinate for jar in lock.jars}


def test_the_lock_reads_back_and_says_how_it_is_written(tmp_path) -> None:
    """Its first line is the command that writes it, not that of Kafka's lock."""
    path = tmp_path / "jars.lock"
    path.write_text(lock_text(peer_lock()))

    assert peer_lock(path) == peer_lock()
    assert path.read_text().splitlines()[0].count("python -m benchmarks.peers.kafka_streams lock") == 1


def test_the_compiler_is_locked_but_not_run_with_the_peer() -> None:
    """All other jars are on the classpath, in the folder that they were fetched to."""
    lock = peer_lock()
    others = [jar for jar in lock.jars if not jar.coordinate.startswith(COMPILER)]

    assert len(others) == len(lock.jars) - 1
    assert classpath(lock, Path("/jars")).split(":") == [f"/jars/{jar.file}" for jar in others]


def test_classes_are_stale_when_source_or_jars_change(source) -> None:
    """A changed byte, a changed name and a changed jar each make another key; the same make the same."""
    lock = peer_lock()
    before = key([source], lock)
    assert key([source], lock) == before

    other_jars = replace(lock, jars=lock.jars[1:])
    renamed = source.rename(source.with_name("Other.java"))
    keys = {before, key([renamed], lock), key([renamed], other_jars)}
    renamed.write_text("class Peer { }")

    assert len(keys | {key([renamed], lock)}) == 4


def test_what_was_compiled_before_needs_no_compiler(tmp_path) -> None:
    """The folder is named by the key; with it there, neither Java nor jars are looked at."""
    lock = peer_lock()
    classes = tmp_path / f"kafka-streams-classes-{key(sorted(compiling.SOURCE.rglob('*.java')), lock)}"
    classes.mkdir()

    assert compiling.compiled(Java(tmp_path / "java", 17), lock, tmp_path / "jars", cache=tmp_path) == classes


def test_a_compiler_that_refuses_is_quoted_and_leaves_no_classes(tmp_path) -> None:
    """Its own words are in the error, and the next start compiles again."""
    javac = tmp_path / "javac"
    javac.write_text("#!/bin/sh\necho 'Peer.java:1: error: no' >&2\nexit 1\n")
    javac.chmod(0o755)

    with pytest.raises(EmbeddedKafkaError, match=r"Peer\.java:1: error: no"):
        compiling.compiled(Java(tmp_path / "java", 17), peer_lock(), tmp_path, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_eclipse_compiles_where_there_is_no_javac(tmp_path, monkeypatch) -> None:
    """The javac beside the Java comes first, and without one on the PATH either there is none."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    java = Java(tmp_path / "java", 17)
    assert find_javac(java) is None

    (tmp_path / "javac").touch()

    assert find_javac(java) == tmp_path / "javac"


def test_what_the_peer_writes_on_disk_stays_in_its_folder(tmp_path, monkeypatch) -> None:
    """State and unpacked native code; the main class stands last, so that arguments can follow."""
    java = Java(Path("/java"), 17)
    monkeypatch.setattr(kafka_streams, "find_java", lambda: java)
    monkeypatch.setattr(kafka_streams, "ensure_jars", lambda _: Path("/jars"))
    monkeypatch.setattr(kafka_streams, "compiled", lambda *_: Path("/classes"))

    command = kafka_streams.command(tmp_path, linger_ms=0)

    assert command[0] == "/java"
    assert command[-1] == kafka_streams.MAIN_CLASS
    assert f"-Dstate.dir={tmp_path / 'state'}" in command
    assert f"-Djava.io.tmpdir={tmp_path / 'unpacked'}" in command
    assert "-Dlinger.ms=0" in command
    assert not any(argument.startswith("-Dbatch") for argument in command)
