"""What goes on beside a case: measuring, starting again what has ended, and timing the recovery."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from tests.workers import WorkerProcess

if TYPE_CHECKING:
    from tests.faults.suite.run import Run

SAMPLE_EVERY_S = 0.2
SUPERVISE_EVERY_S = 0.1
RESTART_AFTER_S = 1.0


async def sample(run: Run) -> None:
    """Take what workers take into account, again and again."""
    while True:
        run.peaks.look(run.pipeline.workers, run.state)
        await asyncio.sleep(SAMPLE_EVERY_S)


async def supervise(run: Run) -> None:
    """Start again what has ended by itself, as a service manager does."""
    while True:
        for worker in list(run.supervised):
            if (code := worker.process.poll()) is not None:
                run.supervised.remove(worker)
                text = f"{worker.name} ended by itself with {code}: {last_words(worker)}"
                run.say(text)
                run.exits += 1
                run.must(code != 0, f"P7 {text}")
                run.must(run.exits <= run.case.exits, f"P7 {text}, the {run.exits}. of {run.case.exits}")
                await asyncio.sleep(RESTART_AFTER_S)
                run.spawn(**(worker.options if run.restart_as is None else run.restart_as))
        await asyncio.sleep(SUPERVISE_EVERY_S)


async def time_recovery(run: Run, healed_s: float) -> None:
    """The time until all that stood on the features topic when the fault ended is committed."""
    topic, ends = run.pipeline.topics.features, None
    while True:
        with contextlib.suppress(Exception):  # whatever the client says of a broker that comes up
            ends = ends or await asyncio.to_thread(run.watch.ends, [topic])
            committed = await asyncio.to_thread(run.watch.committed, topic)
            if all(committed.get(at, 0) >= end for at, end in ends.items()):
                run.recovery_s = time.monotonic() - healed_s
                return
        await asyncio.sleep(0.1)


def last_words(worker: WorkerProcess) -> str:
    """The line of its log that tells why it ended."""
    lines = [line for line in worker.tail(300).splitlines() if line.strip() and not line.startswith(" ")]
    reasons = [line for line in lines if "cannot go on" in line or line.startswith("error:")]
    told = [line for line in lines if "rror" in line or "critical" in line]
    return (reasons or told or lines or ["nothing logged"])[-1][:400]
