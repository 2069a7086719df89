"""A bar on standard error while something long is read, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.replay import Standing

_RATE_LOOKS = 20
"""Looks at a replay that its rate is taken over: some seconds."""


@contextmanager
def share_bar(name: str, *, quiet: bool = False) -> Iterator[Callable[[float], None]]:
    """A function to be told how much has been done, from 0 to 1."""
    if quiet or not sys.stderr.isatty():
        yield lambda _share: None
        return
    from rich.console import Console  # noqa: PLC0415  # not for those who ask for --help
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def standing_bar(name: str, *, quiet: bool = False) -> Iterator[Callable[[Standing], None]]:
    """A function to be told how a replay stands."""
    if quiet or not sys.stderr.isatty():
        yield lambda _standing: None
        return
    from rich.console import Console  # noqa: PLC0415  # not for those who ask for --help
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[told]}"))
    recent: deque[tuple[float, int]] = deque(maxlen=_RATE_LOOKS)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0, told="")

        def show(standing: Standing) -> None:
            recent.append((time.monotonic(), standing.events))
            (then_s, then), (now_s, now) = recent[0], recent[-1]
            rate = (now - then) / (now_s - then_s) if now_s > then_s else 0.0
            told = (
                f"sent {standing.events:,}  predicted {standing.predicted:,}  dead {standing.dead:,}  "
                f"labels {standing.labels:,}  joined {standing.joined:,}  {rate:,.0f} rows/s"
            )
            bar.update(task, completed=standing.share_read, told=told)

        yield show
