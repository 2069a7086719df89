"""A second version of the model that comes into force under load, so that versions are judged across the swap."""

from __future__ import annotations

import asyncio
import time

from tests.faults.suite.run import Run

OTHER_WEIGHTS = (-0.5, 1.5)
AFTER_S = 0.5
"""How long the load goes on once the new version is in force."""


async def publish_second(run: Run) -> asyncio.Task[None]:
    """Have a second version published and activated now, whatever is done to the workers meanwhile.

    The task ends once it has been in force for a little while: the load must not end before.
    """
    await run.published()
    run.versions.add(2)
    run.say("version 2 is published")
    return run.beside(_publish(run))


async def _publish(run: Run) -> None:
    published = await run.pipeline.publish(OTHER_WEIGHTS, bias=0.25)
    at_s = published.activation.effective_from_s
    await asyncio.sleep(max(0.0, at_s - time.time()) + AFTER_S)
    run.say(f"version {published.manifest.version} is in force")
