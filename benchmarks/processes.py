"""A system under measurement as a process: started, watched, ended, its log kept for when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from app.errors import EmbeddedKafkaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parent.parent
LOG_LINES = 30


class Unfit(Exception):
    """A run that must not be recorded: its text says what went wrong."""


def told(main: Callable[[], None]) -> None:
    """Run *main*; a run that is unfit, or lacks Kafka or Java, ends in words and status 1, and leaves no result."""
    try:
        main()
    except (Unfit, EmbeddedKafkaError) as error:
        sys.exit(f"not recorded: {error}")


class Running:
    """A process in a process group of its own, started in the project's folder; a context manager that kills it."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        """*environment* adds to ours; what the process leaves lies beside *log*."""
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(command),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(log.parent), **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def wait_until(self, condition: Callable[[], bool], *, within_s: float, what: str) -> float:
        """Seconds until *condition* holds; Unfit when it takes too long or the process ends."""
        started_s = time.monotonic()
        while not condition():
            self.check()
            if time.monotonic() - started_s > within_s:
                raise Unfit(f"{what}: not within {within_s:g} s\n{self.last_lines()}")
            time.sleep(0.02)
        return time.monotonic() - started_s

    def check(self) -> None:
        """Unfit when the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise Unfit(f"ended with status {status}\n{self.last_lines()}")

    def wait(self, within_s: float) -> int:
        """The status it ends with; Unfit when it does not end."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired as error:
            raise Unfit(f"did not end within {within_s:g} s\n{self.last_lines()}") from error

    def last_lines(self) -> str:
        """The end of its log, and before it what it called critical."""
        lines = self.log.read_text(errors="replace").splitlines()
        critical = [line for line in lines[:-LOG_LINES] if "critical" in line]
        return "\n".join(critical[:LOG_LINES] + lines[-LOG_LINES:])

    def stop(self, *, within_s: float = 60) -> float:
        """Seconds that an orderly end took (SIGTERM)."""
        started_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self.wait(within_s)
        return time.monotonic() - started_s

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def cpu_seconds(pid: int) -> float:
    """Processor time that process *pid* and all that it started have used, user and system, also what has ended."""
    process = psutil.Process(pid)
    total_s = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:  # it has just ended, and is counted by its parent
            continue
        total_s += times.user + times.system + times.children_user + times.children_system
    return total_s


def resident_bytes(pid: int) -> int:
    """Memory of process *pid* that is in RAM."""
    return int(psutil.Process(pid).memory_info().rss)
