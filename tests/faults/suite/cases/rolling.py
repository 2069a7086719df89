"""Rolling restarts: every worker is replaced in turn, perhaps by one of another version of the program."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.workers import ROOT

OTHER_CODE = "FAUST_ONNX_TEST_OTHER_CODE"
"""Environment: a checkout of another version, which then takes every other turn."""


@case(5, no_copies=True)
async def rolling_restart(run: Run) -> None:
    """Two workers, each stopped and replaced in turn under load; to another version and back if one is given."""
    await run.begin(partitions=4)
    other = os.environ.get(OTHER_CODE)
    versions = [ROOT] if other is None else [ROOT, Path(other)]
    run.notes.append("one version of the program" if other is None else f"versions: this and {other}")
    workers = [await run.worker(), await run.worker()]
    async with run.load():
        for turn in range(len(versions)):
            code = versions[(turn + 1) % len(versions)]
            for place, old in enumerate(workers):
                await run.pause(0.2, 1.0)
                await run.terminate(old)
                workers[place] = await run.worker(code=code)
                run.say(f"{old.name} was replaced by {workers[place].name}")
        run.heal()
