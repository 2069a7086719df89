"""The process around the application: what it says, and with which code it ends."""

from __future__ import annotations

import resource
import signal
import sys
from typing import NoReturn

import faust

from app.errors import ConfigurationError, FaustOnnxError

OPEN_FILES_MIN = 256
"""Connections, threads and libraries take some 60 files, and the ledger of a partition up to 70."""


def allow_open_files() -> None:
    """Let the process open as many files as it may; ConfigurationError if that is too few to work with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        soft = max(soft, hard if hard != resource.RLIM_INFINITY else 1 << 16)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < OPEN_FILES_MIN:
        raise ConfigurationError(
            f"only {soft} files may be open, but a worker needs {OPEN_FILES_MIN}, and 70 for each of its partitions; "
            "it would end with `Too many open files`. Raise the limit: `ulimit -n 65536`, LimitNOFILE=65536 in systemd"
        )


class Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, which tells of foreseen faults in a line, ends in time, and says in its code how it ended."""

    async def start(self) -> None:
        """Start everything. Exits with 2 when the configuration is wrong, and with 1 when Kafka does not answer."""
        try:
            await super().start()
        except FaustOnnxError as error:  # a traceback would point at nothing that is wrong
            sys.stderr.write(f"error: {error}\n")
            raise SystemExit(2 if isinstance(error, ConfigurationError) else 1) from None

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        self.app.guards.leaving.begin()
        super()._schedule_shutdown(number)

    def execute_from_commandline(self) -> NoReturn:
        """Run until told to stop. Exits with 0 if all that was begun was committed, and with 1 if not or on failure."""
        try:
            super().execute_from_commandline()
        except SystemExit as ended:
            if ended.code in (0, None) and (self.app.failed is not None or self.app.guards.leaving.left):
                raise SystemExit(1) from None
            raise
        raise SystemExit(0)
