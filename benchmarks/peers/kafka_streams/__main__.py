"""`python -m benchmarks.peers.kafka_streams`: `lock [VERSION]` writes the list of jars anew, `fetch` gets all ready."""

from __future__ import annotations

import argparse
import sys

from app.embedded.java import find_java
from app.embedded.lock import read_lock
from app.errors import EmbeddedKafkaError
from benchmarks.peers.kafka_streams.compiling import compiled
from benchmarks.peers.kafka_streams.jars import LOCK_FILE, ensure_jars, lock_text, peer_lock, resolve


def main() -> int:
    """The exit code: 0, or 1 after a message when jars could not be had or the source not be compiled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.kafka_streams", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="bring the jars and the compiled classes into the cache")
    locking = commands.add_parser("lock", help="resolve the list of jars anew and write it")
    locking.add_argument("version", nargs="?", help="version of Kafka Streams; without it that of the embedded Kafka")
    arguments = parser.parse_args()
    try:
        if arguments.command == "lock":
            lock = resolve(arguments.version or read_lock().version)
            LOCK_FILE.write_text(lock_text(lock), encoding="utf-8")
            print(f"{LOCK_FILE}: Kafka Streams {lock.version}, {len(lock.jars)} jars, {lock.size / 1e6:.1f} MB")
        else:
            lock = peer_lock()
            print(compiled(find_java(), lock, ensure_jars(lock)))
    except EmbeddedKafkaError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
