"""Kafka Streams with ONNX Runtime, in Java: the system that the field starts from.

    jars.lock  --fetch-->  jars  --compile java/-->  classes  -->  the command of one process

The arguments are those of every peer: BROKER FEATURES PREDICTIONS MODEL GROUP SHAPE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.embedded.java import find_java
from benchmarks.peers.kafka_streams.compiling import classpath, compiled
from benchmarks.peers.kafka_streams.jars import ensure_jars, peer_lock

if TYPE_CHECKING:
    from pathlib import Path

MAIN_CLASS = "peer.KafkaStreamsPeer"
JVM_OPTIONS = (
    "-Xms1g",
    "-Xmx1g",
    # Chosen for throughput: on short-lived objects it takes less processor time than G1, Java's own choice.
    "-XX:+UseParallelGC",
    # Files of its own in the system's temporary folder would stay there after a SIGKILL.
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def command(folder: Path, *, batch: int | None = None, linger_ms: int | None = None) -> list[str]:
    """The command line of the peer, to which its six arguments are appended; all it writes on disk is in *folder*.

    What is missing is fetched and compiled first, and told on stderr. EmbeddedKafkaError says what could not be had.

    batch: records scored at once at most, 1 for event by event; 512 without it.
    linger_ms: how long the producer waits for more predictions; 5 without it.
    """
    java, lock = find_java(), peer_lock()
    jars = ensure_jars(lock)
    classes = compiled(java, lock, jars)
    unpacked = folder / "unpacked"
    unpacked.mkdir(parents=True, exist_ok=True)
    options = [
        *java.options,
        *JVM_OPTIONS,
        f"-Djava.io.tmpdir={unpacked}",
        f"-Dstate.dir={folder / 'state'}",
        *(f"-D{name}={value}" for name, value in (("batch", batch), ("linger.ms", linger_ms)) if value is not None),
    ]
    return [str(java.path), *options, "-cp", f"{classes}:{classpath(lock, jars)}", MAIN_CLASS]
