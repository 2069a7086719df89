"""Rolling restarts: every worker is replaced in turn, by one of an earlier version of the program and back again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.faults.suite.earlier import earlier_program
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.workers import ROOT

OTHER_CODE = "FAUST_ONNX_TEST_OTHER_CODE"
"""Environment: a checkout of another version, instead of the earlier one from the history."""


@case(5, no_copies=True)
async def rolling_restart(run: Run) -> None:
    """Two workers, each stopped and replaced in turn under load: by an earlier version of the program, and back."""
    await run.begin(partitions=4)
    given = os.environ.get(OTHER_CODE)
    other, about = await asyncio.to_thread(earlier_program, run.folder) if given is None else (Path(given), given)
    run.say(f"versions: this and {about}" if other else f"one version of the program: {about}")
    workers = [await run.worker(), await run.worker()]
    async with run.load():
        for code in [other, ROOT] if other else [ROOT]:
            for place, old in enumerate(workers):
                await run.pause(0.2, 1.0)
                await run.terminate(old)
                workers[place] = await run.worker(code=code)
                run.say(f"{old.name} was replaced by {workers[place].name}{' of the other version' * (code != ROOT)}")
        run.heal()
