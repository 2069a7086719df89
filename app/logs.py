"""Logs are events: one line per decision, for people on a console or as JSON for a collector."""

from __future__ import annotations

import logging
import math
import sys
from typing import Literal

import structlog

_CHATTY = ("faust", "mode", "aiokafka", "app.transport", "asyncio")
"""Loggers whose `info` is about their own insides; a Faust service of ours logs under its module's name."""


class OncePerWhile(logging.Filter):
    """Lets a message of the Kafka client pass once in *seconds*, and then says how many like it there were.

    While a broker is away each of its connections says so several times a second.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a message that was seen a moment ago."""
        if not record.name.startswith("aiokafka"):
            return True
        kind = (record.name, str(record.msg))
        since_s, held_back = self._seen.get(kind, (-math.inf, 0))
        if record.created - since_s < self._seconds:
            self._seen[kind] = (since_s, held_back + 1)
            return False
        self._seen[kind] = (record.created, 0)
        if held_back:
            record.msg = f"{record.msg} ({held_back} more like this since)"
        return True


def configure_logs(level: str, log_format: Literal["console", "json"]) -> None:
    """Send all logs, ours and the libraries', to stderr in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        last += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    handler.addFilter(OncePerWhile())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def pass_logs_on() -> None:
    """Hand our logs to whatever logging is set up, as Faust's own command line does, one line of text each."""
    plain = structlog.dev.plain_traceback
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=plain),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
