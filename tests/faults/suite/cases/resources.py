"""Too little: full disks and scarce file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
from pathlib import Path

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run

DISK_BYTES = 48 << 20
FILE_BYTES = 64 << 10
DESCRIPTORS = 128
ENDS_WITHIN_S = 15.0
MANAGES_WITHIN_S = 30.0


@case(20, exits=4)
async def disk_full(run: Run) -> None:
    """The disk with the local state is full for some seconds: the worker fails loudly, and recovers with space."""
    await run.begin()
    state = run.folder / "small"
    state.mkdir()
    run.settings["state_dir"] = state
    mounted = await asyncio.to_thread(_mount, state)
    if mounted:
        run.on_close(lambda: _unmount(state))
    run.notes.append("a tmpfs of 48 MB" if mounted else "no right to mount: RLIMIT_FSIZE of 64 kB instead")
    ballast = state / "ballast"
    await run.worker()
    async with run.load():
        await run.pause(0.5, 1.5)
        if mounted:
            _fill(ballast)
        else:
            await run.kill(run.supervised[-1])
            run.spawn(limits={resource.RLIMIT_FSIZE: FILE_BYTES})
        run.say("the disk is full" if mounted else "no file may grow")
        await asyncio.sleep(run.rng.uniform(4, 7))
        ballast.unlink(missing_ok=True)
        run.restart_as = {}
        failing = any("cannot go on" in worker.log.read_text(errors="replace") for worker in run.supervised)
        if failing and not run.exits:
            await run.eventually(lambda: run.exits, ENDS_WITHIN_S, "P7 a worker that cannot go on ends")
        run.say(f"there is room again; the worker ended {run.exits} times meanwhile")
        # One that had enough in memory has not noticed: what it left on the disk must be of use to the next one.
        for worker in list(run.supervised):
            await run.kill(worker)
        await run.worker()
        run.heal()
    loud = not run.exits or any(word in run.logs() for word in ("No space left", "File too large", "IO error"))
    run.must(loud, "P7 a worker that ended because of the disk says so")


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)  # noqa: S607  the one on the PATH


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 16))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")


@case(20, exits=4)
async def few_descriptors(run: Run) -> None:
    """Workers may open 128 files: with eight partitions they manage or say why not, and go on with more."""
    await run.begin(partitions=8)
    limits = {resource.RLIMIT_NOFILE: DESCRIPTORS}
    async with run.load():
        run.spawn(limits=limits)
        run.say(f"a worker with {DESCRIPTORS} file descriptors")
        await run.eventually(
            lambda: run.exits or any(worker.ready_file.exists() for worker in run.supervised), MANAGES_WITHIN_S,
            f"P7 a worker with {DESCRIPTORS} file descriptors manages, or ends",
        )  # fmt: skip
        await asyncio.sleep(run.rng.uniform(3, 6))
        run.restart_as = {}
        for worker in list(run.supervised):
            if worker.ready_file.exists():
                run.notes.append("it manages with 128")
            await run.kill(worker)
        run.must(
            not run.exits or "Too many open files" in run.logs(), "P7 a worker that ended for want of files says so"
        )
        run.spawn()
        run.heal()
