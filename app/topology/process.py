"""The process around the application: what it says, and with which code it ends, when it cannot even start."""

from __future__ import annotations

import sys

import faust

from app.errors import ConfigurationError, FaustOnnxError


class Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, which tells of foreseen faults in a line: a traceback would point at nothing that is wrong."""

    async def start(self) -> None:
        """Start everything. Exits with 2 when the configuration is wrong, and with 1 when Kafka does not answer."""
        try:
            await super().start()
        except FaustOnnxError as error:
            sys.stderr.write(f"error: {error}\n")
            raise SystemExit(2 if isinstance(error, ConfigurationError) else 1) from None
