"""Local state that is lost or broken, and a changelog that was compacted."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run


@case(19)
async def state_lost(run: Run) -> None:
    """The worker is killed and its local state deleted: all is restored from Kafka, and counts nothing twice."""
    await run.begin(session_timeout_s=3)
    worker = await run.worker()
    async with run.load():
        for _ in range(run.times(3)):
            await run.pause(0.5, 2.5)
            await run.kill(worker)
            shutil.rmtree(run.state)
            run.say("the state is deleted")
            worker = await run.worker()
        run.heal()


@case(19, exits=3)
async def state_corrupt(run: Run) -> None:
    """The worker is killed and its RocksDB files are overwritten, cut or removed: it may end once more, never twice."""
    await run.begin(session_timeout_s=3)
    worker = await run.worker()
    async with run.load():
        for _ in range(run.times(3)):
            await run.pause(0.5, 2.5)
            await run.kill(worker)
            before = run.exits
            run.say(f"broken: {', '.join(_break_some(run))}")
            worker = await run.worker()
            run.must(run.exits <= before + 1, f"P7 one damage ends one worker at most, not {run.exits - before}")
        run.heal()


def _break_some(run: Run) -> list[str]:
    """Do harm to some of the files of the ledgers; what was done to which."""
    files = sorted(path for path in (run.state).rglob("*") if path.is_file() and "/ledger/" in str(path))
    done = []
    for path in run.rng.sample(files, min(len(files), run.rng.randint(1, 4))):
        harm, content = run.rng.choice(["overwritten", "cut", "removed"]), bytearray(path.read_bytes())
        if harm == "removed":
            path.unlink()
        else:
            _harm(run, path, content, cut=harm == "cut")
        done.append(f"{path.name} {harm}")
    return done


def _harm(run: Run, path: Path, content: bytearray, *, cut: bool) -> None:
    if cut:
        path.write_bytes(content[: run.rng.randrange(len(content) + 1)])
        return
    for _ in range(run.rng.randint(1, 5) if content else 0):
        at = run.rng.randrange(len(content))
        content[at : at + 16] = run.rng.randbytes(16)
    path.write_bytes(content)


@case(19, own_broker=True, properties={"log.cleaner.backoff.ms": "200", "log.segment.delete.delay.ms": "500"})
async def changelog_compacted(run: Run) -> None:
    """The table's changelog and `performance` are compacted while they are written; then the local state is lost."""
    await run.begin(session_timeout_s=3, performance_interval_s=0.1)
    worker = await run.worker()
    quick = {
        "segment.ms": "500", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "500",
        "delete.retention.ms": "100", "min.compaction.lag.ms": "0",
    }  # fmt: skip
    compacted = [run.changelog, run.pipeline.topics.performance]
    for topic in compacted:
        await run.set_configs(topic, quick)
    async with run.load():
        await asyncio.sleep(run.rng.uniform(4, 7))
        for _ in range(run.times(2)):
            await run.kill(worker)
            shutil.rmtree(run.state)
            run.say("the state is deleted")
            worker = await run.worker()
            await run.pause(1.0, 3.0)
        run.heal()
    left = {topic: await asyncio.to_thread(_left, run, topic) for topic in compacted}
    run.say(f"records left of those written: {', '.join(f'{topic} {n} of {end}' for topic, (n, end) in left.items())}")
    run.must(left[run.changelog][0] < left[run.changelog][1] / 2, f"the changelog was not compacted: {left}")


def _left(run: Run, topic: str) -> tuple[int, int]:
    deadline = time.monotonic() + 10
    while True:
        n, end = len(run.watch.read(topic)), sum(run.watch.ends([topic]).values())
        if n < end / 2 or time.monotonic() > deadline:
            return n, end
        time.sleep(0.5)
