"""A broker for as long as a program stays in the foreground: until Ctrl-C or SIGTERM, or until it ends by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from app.embedded.broker import EmbeddedKafka
from app.errors import EmbeddedKafkaError

_LOOK_EVERY_S = 1.0


def run_until_stopped(
    data_dir: Path | None, port: int | None, ready_file: Path | None, on_ready: Callable[[str], None]
) -> None:
    """Run a broker; *on_ready* is given its host:port once it answers, then *ready_file* gets it.

    data_dir, port: as of `EmbeddedKafka.start`. Raises EmbeddedKafkaError when it cannot be started, or has ended.
    """
    # Both signals end the wait below; set before the start, so that one in the middle of it cleans up as well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        with EmbeddedKafka.start(data_dir=data_dir, port=port) as kafka:
            on_ready(kafka.bootstrap)
            if ready_file is not None:
                # Renamed into place: who waits for the file never sees half an address.
                part = ready_file.with_name(f"{ready_file.name}.part")
                part.write_text(kafka.bootstrap, encoding="utf-8")
                part.replace(ready_file)
            while (status := kafka.wait(_LOOK_EVERY_S)) is None:
                pass
            raise EmbeddedKafkaError(f"Kafka has ended by itself, with status {status}; its log: {kafka.log}")
    except _Stopped:
        pass
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM came."""


def _stop(_number: int, _frame: object) -> None:
    raise _Stopped
