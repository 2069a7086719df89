"""A worker's start seen from outside: when HTTP answers, when the group lets it in, and when it is ready."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.processes import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.processes import Running

LOOK_EVERY_S = 0.01


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process."""

    listening_s: float
    """/healthz answers for the first time."""
    assigned_s: float
    """The group has let the worker in: it knows its partitions."""
    ready_s: float
    """/readyz is 200."""
    deafest_s: float
    """The longest that /healthz took to answer in all that time."""

    @property
    def after_join_s(self) -> float:
        """What the worker itself needed once it was let in."""
        return self.ready_s - self.assigned_s


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def watch_start(start: Callable[[], Running], url: str, pipeline: str, *, within_s: float) -> tuple[Running, Start]:
    """Start a worker that serves *pipeline* and listens at *url*, and watch it until it is ready."""
    began_s = time.monotonic()
    running = start()
    listening_s = assigned_s = None
    deafest_s = 0.0
    try:
        while time.monotonic() - began_s < within_s:
            running.check()
            asked_s = time.monotonic()
            status, _ = ask(url + "/healthz")
            now_s = time.monotonic()
            if status == 200:
                listening_s = listening_s or now_s - began_s
                deafest_s = max(deafest_s, now_s - asked_s)
            if listening_s and assigned_s is None and is_assigned(url, pipeline):
                assigned_s = time.monotonic() - began_s
            if listening_s and assigned_s and ask(url + "/readyz")[0] == 200:
                return running, Start(listening_s, assigned_s, time.monotonic() - began_s, deafest_s)
            time.sleep(LOOK_EVERY_S if assigned_s is None else 0.05)
    except BaseException:
        running.kill()
        raise
    running.kill()
    raise Unfit(f"not ready within {within_s:g} s\n{running.last_lines()}")


def is_assigned(url: str, pipeline: str) -> bool:
    """Whether the worker has partitions of *pipeline*."""
    status, told = ask(url + "/api/status")
    return status == 200 and bool(told["pipelines"][pipeline]["assigned"])


def ask(url: str) -> tuple[int, Any]:
    """Status and JSON of a page; status 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  our own worker
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None
