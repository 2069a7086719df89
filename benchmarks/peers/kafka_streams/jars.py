"""The jars of this peer: locked, fetched and checked as those of the embedded Kafka are, in a folder beside them.

`python -m benchmarks.peers.kafka_streams lock` resolves the list anew and writes it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.embedded.fetch import ensure_kafka
from app.embedded.lock import Lock, read_lock, render_lock, resolve_lock

LOCK_FILE = Path(__file__).with_name("jars.lock")
COMPILER = "org.eclipse.jdt:ecj"
ROOTS = (
    "org.apache.kafka:kafka-streams:{version}",
    "com.microsoft.onnxruntime:onnxruntime:1.29.0",
    "com.fasterxml.jackson.core:jackson-core:2.22.4",
    "org.slf4j:slf4j-simple:1.7.36",
    f"{COMPILER}:3.46.100",
)
"""What the list is resolved from; slf4j-simple must be of the line of slf4j-api that Kafka depends on."""
LEFT_OUT = {
    "org.rocksdb:rocksdbjni": "state stores, of which the topology has none",
}
"""Dependencies that the peer never loads, and why."""


def peer_lock(path: Path = LOCK_FILE) -> Lock:
    """The locked jars; `version` is that of Kafka Streams. EmbeddedKafkaError names the file if it is not a lock."""
    return read_lock(path)


def ensure_jars(lock: Lock, *, cache: Path | None = None) -> Path:
    """The folder with all jars of *lock*, in the cache beside Kafka's, fetched if need be; progress goes to stderr.

    EmbeddedKafkaError says which jar could not be had, and why.
    """
    # The embedded Kafka's way to fetch takes any list of jars and names folder and progress by its version.
    return ensure_kafka(cache=cache, lock=replace(lock, version=f"streams-{lock.version}"))


def resolve(kafka: str) -> Lock:
    """The lock for Kafka Streams *kafka*, resolved over the network into a folder that is thrown away."""
    return resolve_lock(kafka, ROOTS, LEFT_OUT)


def lock_text(lock: Lock) -> str:
    """The text of a lock file that reads back as *lock*."""
    return render_lock(lock).replace("app.embedded lock", "benchmarks.peers.kafka_streams lock", 1)
