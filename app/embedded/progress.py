"""What the user sees while jars are fetched: one bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock as Mutex
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from app.embedded.lock import Jar


class FetchProgress(Protocol):
    """Is told of each chunk of bytes, and of each jar that is complete."""

    def advance(self, n_bytes: int) -> None:
        """Count *n_bytes* more of any jar; called from several threads."""

    def done(self, jar: Jar) -> None:
        """*jar* has been verified and is in its place."""


class _Bar:
    def __init__(self, bar: Progress, title: str, total_bytes: int) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=total_bytes)

    def advance(self, n_bytes: int) -> None:
        self._bar.advance(self._task, n_bytes)

    def done(self, jar: Jar) -> None:
        pass


class _Lines:
    """A line at each quarter of the bytes."""

    def __init__(self, stream: TextIO, title: str, jars: Sequence[Jar]) -> None:
        self._stream = stream
        self._title = title
        self._total = sum(jar.size for jar in jars)
        self._done = 0
        self._mutex = Mutex()
        self._say(f"fetching {title}: {len(jars)} jars, {self._total / 1e6:.1f} MB")

    def advance(self, n_bytes: int) -> None:
        pass

    def done(self, jar: Jar) -> None:
        with self._mutex:
            before, self._done = self._done, self._done + jar.size
            if 4 * before // self._total < 4 * self._done // self._total:
                self._say(f"fetching {self._title}: {self._done / 1e6:.1f} of {self._total / 1e6:.1f} MB")

    def _say(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


@contextmanager
def fetch_progress(title: str, jars: Sequence[Jar], *, stream: TextIO) -> Iterator[FetchProgress]:
    """A progress display on *stream* for fetching *jars*."""
    if not stream.isatty():
        yield _Lines(stream, title, jars)
        return
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        yield _Bar(bar, title, sum(jar.size for jar in jars))
