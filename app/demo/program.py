"""The demo as a program: what it needs around it, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from app.demo.kafka import place
from app.demo.run import Run
from app.embedded import ensure_kafka
from app.errors import ConfigurationError, FaustOnnxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from app.demo.options import Options
    from app.settings import Settings

_FAILED, _MISUSED, _ABORTED = 1, 2, 130


def run_demo(settings: Settings, options: Options, console: Console) -> int:
    """Run the demo; the exit code: 0 well, 1 something does not hold or failed, 130 aborted."""
    # onnxruntime's wheels report home unless told otherwise before they load; worker and verifier inherit this.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - for our children, no setting of ours
    try:
        if settings.origins["broker"] == "default":
            # Here and not beside other things: it has a progress bar, and Ctrl-C ends it.
            ensure_kafka()
        with tempfile.TemporaryDirectory(prefix="faust-onnx-demo-") as folder:
            return asyncio.run(_run(settings, options, console, Path(folder)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("aborted; all that was started has been ended", highlight=False)
        return _ABORTED
    except FaustOnnxError as error:
        console.print(f"demo: {error}", highlight=False, markup=False, soft_wrap=True)
        return _MISUSED if isinstance(error, ConfigurationError) else _FAILED


async def _run(settings: Settings, options: Options, console: Console, folder: Path) -> int:
    where = "a Kafka of its own" if settings.origins["broker"] == "default" else settings.broker
    console.print(f"starting {where}, the topics, version 1 of the model and a worker ...", highlight=False)
    async with place(settings, models_dir=options.models_dir, folder=folder) as there:
        run = Run(there, options, console, folder=folder)
        with _signals(run):
            return await run.run()


@contextlib.contextmanager
def _signals(run: Run) -> Iterator[None]:
    """The first Ctrl-C ends the intake, the second the run; before there is an intake the first ends the run."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if run.streaming and not run.stopping.is_set():
            run.stopping.set()
        elif task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
