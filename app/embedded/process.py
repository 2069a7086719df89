"""Our end of the supervisor: start a program, signal it, wait for its end."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from app.errors import EmbeddedKafkaError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_ANSWER_S = 30.0
"""How long the supervisor may take to start a process; it does so in milliseconds."""


class SupervisedProcess:
    """Runs one program at a time, under a supervisor that ends it when this process ends.

    log: file that gets the output of the programs.
    folder: removed once this object is closed or this process is gone; None to keep everything.
    """

    def __init__(self, *, log: Path, folder: Path | None = None) -> None:
        self._log = log
        self._pid: int | None = None
        argv = [sys.executable, "-I", "-S", str(_SUPERVISOR), *([str(folder)] if folder else [])]
        with log.open("ab") as errors:
            self._supervisor = subprocess.Popen(  # noqa: S603 - our own script
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        self._reports: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        reader = threading.Thread(target=_read, args=(self._supervisor.stdout, self._reports), daemon=True)
        reader.start()
        # Also when nobody calls close: a supervisor whose input ends cleans up, we only have to let it go.
        self._finalizer = weakref.finalize(self, _let_go, self._supervisor, reader)

    @property
    def pid(self) -> int | None:
        """Process number of the running program; None if none runs."""
        return self._pid

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return not self._finalizer.alive

    @property
    def supervisor_pid(self) -> int:
        """Process number of the supervisor."""
        return self._supervisor.pid

    def start(self, argv: Sequence[str]) -> None:
        """Run *argv*; the program before it must have ended."""
        self._command({"start": list(argv), "log": str(self._log)})
        report = self._report(_ANSWER_S)
        if report is None or "pid" not in report:
            raise EmbeddedKafkaError(f"{argv[0]} could not be run: {report['error'] if report else 'no answer'}")
        self._pid = report["pid"]

    def signal(self, number: int) -> None:
        """Send a signal to the program, if it still runs."""
        if self._pid is not None:
            self._command({"signal": int(number)})

    def wait(self, timeout_s: float) -> int | None:
        """The exit status of the program (minus the signal's number if killed by one); None if it still runs."""
        report = self._report(timeout_s)
        if report is None:
            return None
        self._pid = None
        return int(report["exit"])

    def close(self) -> None:
        """End the program at once, remove the folder, and wait until both are gone."""
        self._pid = None
        self._finalizer()

    def _command(self, command: dict[str, object]) -> None:
        stdin = self._supervisor.stdin
        if stdin is None or self.closed:
            raise EmbeddedKafkaError("this embedded Kafka was closed; start another")
        try:
            stdin.write(f"{json.dumps(command)}\n".encode())
            stdin.flush()
        except BrokenPipeError as error:
            raise EmbeddedKafkaError(f"the supervisor of the embedded Kafka has ended; see {self._log}") from error

    def _report(self, timeout_s: float) -> dict[str, Any] | None:
        try:
            report = self._reports.get(timeout=timeout_s)
        except Empty:
            return None
        if report is None:
            raise EmbeddedKafkaError(f"the supervisor of the embedded Kafka has ended; see {self._log}")
        return report


def _read(stdout: IO[bytes], reports: SimpleQueue[dict[str, Any] | None]) -> None:
    for line in stdout:
        reports.put(json.loads(line))
    reports.put(None)


def _let_go(supervisor: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    assert supervisor.stdin is not None  # noqa: S101 - opened as a pipe above
    assert supervisor.stdout is not None  # noqa: S101 - the same
    with contextlib.suppress(BrokenPipeError):
        supervisor.stdin.close()
    supervisor.wait()
    reader.join(timeout=5)
    supervisor.stdout.close()
