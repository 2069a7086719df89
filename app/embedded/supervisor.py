"""A small process between us and the JVM, so that nothing stays behind however we end, SIGKILL included.

It reads one JSON command a line from standard input and tells on standard output what became of it:

    {"start": [argv], "log": path}  ->  {"pid": n}, and {"exit": status} when that process has ended
                                    or {"error": text} when it cannot be run
    {"signal": n}                   ->  nothing; the signal goes to the running process, if there is one

When its input ends - the other side closed it or died - it kills what it runs, removes the folder that it was given
on the command line (if any), and ends. It is run as a script and imports nothing of ours: it must start in no time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def _die_with_parent() -> Callable[[], None] | None:
    """What a child runs before its program, so that it dies with this process even if this process is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Supervisor:
    """Runs at most one process at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._mutex = threading.Lock()

    def obey(self, command: dict[str, Any]) -> None:
        """Do what one command says."""
        if "start" in command:
            self._start(command["start"], Path(command["log"]))
        elif "signal" in command:
            self._signal(command["signal"])

    def kill(self) -> None:
        """End the process, if one runs, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _start(self, argv: list[str], log: Path) -> None:
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own command line
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=log.parent,
                    preexec_fn=_die_with_parent(),  # noqa: PLW1509 - the only other thread waits for a child, no more
                )
        except OSError as error:
            _tell({"error": str(error)})
            return
        _tell({"pid": self._process.pid})
        threading.Thread(target=self._wait, args=(self._process,), daemon=True).start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        _tell({"exit": process.wait()})

    def _signal(self, number: int) -> None:
        # Popen.send_signal polls first: a process that has ended and whose number was given to another gets nothing.
        if self._process is not None:
            self._process.send_signal(number)


def _tell(report: dict[str, Any]) -> None:
    # The other side may be gone already; then the end of our input says so.
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), f"{json.dumps(report)}\n".encode())


def main() -> None:
    """Obey until the input ends, then leave nothing behind."""
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    # These are for the process that started us, which closes our input when it wants us to end. Handlers of ours, since
    # SIG_IGN would be inherited by the JVM, which would then not stop at SIGTERM.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    supervisor = Supervisor()
    try:
        for line in sys.stdin:
            supervisor.obey(json.loads(line))
    finally:
        supervisor.kill()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
