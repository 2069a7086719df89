"""`python -m app.embedded`: run a broker until Ctrl-C; `... fetch` and `... lock [VERSION]` for the jars."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from app.embedded import ensure_kafka
from app.embedded.foreground import run_until_stopped
from app.embedded.lock import read_lock, write_lock
from app.errors import EmbeddedKafkaError


def main() -> int:
    """The exit code: 0, or 1 after a message when Kafka could not be fetched or started."""
    parser = argparse.ArgumentParser(prog="python -m app.embedded", description="A real Apache Kafka on loopback.")
    parser.add_argument("--ready-file", type=Path, help="write host:port into this file once the broker answers")
    parser.add_argument("--data-dir", type=Path, help="keep topics here; without it they go with the broker")
    parser.add_argument("--port", type=int, help="port for clients; without it any free one")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("fetch", help="only bring the jars into the cache")
    locking = commands.add_parser("lock", help="resolve the list of jars anew and write it")
    locking.add_argument("version", nargs="?", help="version of Apache Kafka; without it the locked one")
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "fetch":
                print(ensure_kafka())  # noqa: T201 - a command line
            case "lock":
                print(write_lock(arguments.version or read_lock().version))  # noqa: T201 - the same
            case _:
                run_until_stopped(
                    arguments.data_dir,
                    arguments.port,
                    arguments.ready_file,
                    lambda address: print(address, flush=True),  # noqa: T201 - what other programs read
                )
    except EmbeddedKafkaError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the same
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
