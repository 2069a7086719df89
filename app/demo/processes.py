"""The programs that the demo runs beside itself: the worker, the high-rate source and the verifier.

Each runs in a session of its own, so that Ctrl-C in the terminal reaches the demo alone, which then ends them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from app.demo.intake import Sent, has_ended
from app.embedded.process import SupervisedProcess
from app.errors import BrokerError, FaustOnnxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from app.demo.load import Load

_STOP_S = 20.0
_LOG_LINES = 15
_READY_POLL_S = 0.05


class WorkerDied(FaustOnnxError):
    """The worker ended although nobody had told it to."""


class Worker:
    """A worker process; a context manager that ends it, by SIGTERM if there is time for that.

    arguments: what stands after `faust-onnx worker`.
    folder: where its log and its ready file go.
    """

    def __init__(self, arguments: Sequence[str], *, folder: Path) -> None:
        self.log = folder / "worker.log"
        self._ready_file = folder / "worker.ready"
        self._arguments = [*arguments, "--http", "127.0.0.1:0", "--ready-file", str(self._ready_file)]
        self._process = SupervisedProcess(log=self.log)

    def __enter__(self) -> Self:
        self._process.start([sys.executable, "-m", "app.cli", "worker", *self._arguments])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()

    async def ready(self, *, timeout_s: float) -> str:
        """The worker's URL, once it says that it is ready; raises WorkerDied with what it logged last if not."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._ready_file.exists():
                    self.check()
                    await asyncio.sleep(_READY_POLL_S)
        except TimeoutError:
            raise WorkerDied(
                f"the worker was not ready within {timeout_s:g} s; it logged last:\n{self.last_words()}"
            ) from None
        address = str(msgspec.json.decode(self._ready_file.read_bytes())["http"])
        return address if "://" in address else f"http://{address}"

    def check(self) -> None:
        """Raise WorkerDied if the worker has ended."""
        status = self._process.wait(0)
        if status is not None:
            raise WorkerDied(f"the worker ended with status {status}; it logged last:\n{self.last_words()}")

    async def stop(self) -> int | None:
        """Its exit status after SIGTERM; None if it had to be killed."""
        self._process.signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, _STOP_S)

    def last_words(self) -> str:
        """The end of its log, indented."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (nothing)"


class LoadIntake:
    """The high-rate source as an intake: `app.demo.load` in a process of its own."""

    def __init__(self, broker: str, load: Load) -> None:
        self._command = [sys.executable, "-m", "app.demo.load", "--broker", broker, "--features", load.features]
        self._command += ["--partitions", str(load.partitions), "--rate", str(load.rate)]
        self._command += ["--labels", load.labels] if load.labels else []
        self._process: asyncio.subprocess.Process | None = None
        self._reports: asyncio.Task[None] | None = None
        self.sent = Sent()

    async def start(self) -> None:
        """Begin to send."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        self._reports = asyncio.create_task(self._follow(self._process), name="demo-load")

    async def stop_events(self) -> None:
        """Send no more features; the labels that are still owed follow at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def is_done(self) -> bool:
        """Whether all is sent; raises BrokerError when the source failed."""
        return has_ended(self._reports)

    async def close(self) -> None:
        """End at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._reports is not None:
            self._reports.cancel()
            with contextlib.suppress(asyncio.CancelledError, BrokerError):
                await self._reports

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("the source was started without pipes")
        async for line in process.stdout:
            self.sent = msgspec.json.decode(line, type=Sent)
        errors = (await process.stderr.read()).decode(errors="replace").strip()
        if await process.wait() != 0:
            raise BrokerError(f"the high-rate source ended with status {process.returncode}: {errors[-1000:]}")


class Verdict(NamedTuple):
    """What the verifier found: that all holds, that something does not, or (None) that it could not judge."""

    holds: bool | None
    report: str


async def verify(arguments: Sequence[str]) -> Verdict:
    """Run `python -m verify` with *arguments* to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "verify", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Verdict({0: True, 1: False}.get(process.returncode or 0), output.decode(errors="replace").rstrip())


def as_arguments(flags: dict[str, Any]) -> list[str]:
    """Command-line flags from names and values.

    >>> as_arguments({"broker": "127.0.0.1:9092", "app_id": "demo"})
    ['--broker', '127.0.0.1:9092', '--app-id', 'demo']
    """
    return [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]
