"""Running a case: its site, its run, its judgement, and what is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from app.embedded import EmbeddedKafka
from tests.faults.suite.judge import judge
from tests.faults.suite.keys import case_key
from tests.faults.suite.registry import Case
from tests.faults.suite.run import Run, Site
from tests.faults.suite.store import Result
from tests.proxy import Proxy, free_port

RUN_WITHIN_S = 400.0
PROPERTIES = {"log.cleaner.backoff.ms": "1000", "log.segment.delete.delay.ms": "1000"}


@contextlib.asynccontextmanager
async def new_site(properties: Mapping[str, str] | None = None) -> AsyncIterator[Site]:
    """A broker with a proxy before it."""
    proxy = Proxy(free_port())
    kafka = await asyncio.to_thread(
        EmbeddedKafka.start, listeners={"PROXIED": proxy.address}, properties={**PROPERTIES, **(properties or {})}
    )
    try:
        proxy.target = kafka.addresses["PROXIED"]
        await proxy.start()
        yield Site(kafka, proxy)
        await proxy.stop()
    finally:
        await asyncio.to_thread(kafka.close)


async def run_case(
    case: Case, seed: int, mode: str, *, shared: Site | None, scale: float = 1.0, tell: Callable[[str], None] = print,
    keep: Path | None = None,
) -> Result:  # fmt: skip
    """Run *case* once; the result says what did not hold.

    shared: the site for cases that do no harm to their broker; the others get their own.
    keep: where the folder of a run with violations is moved to.
    """
    async with contextlib.AsyncExitStack() as sites:
        if case.own_broker or shared is None:
            site = await sites.enter_async_context(new_site(case.properties))
        else:
            site = shared
        return await _run_at(site, case, seed, mode, scale=scale, tell=tell, keep=keep)


async def _run_at(
    site: Site, case: Case, seed: int, mode: str, *, scale: float, tell: Callable[[str], None], keep: Path | None
) -> Result:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=f"faults-{case.name}-{seed}-"))
    run = Run(case, seed, mode, site, f"f{uuid.uuid4().hex[:8]}", folder, scale=scale, tell=tell)
    tell(f"{case.number:>2} {case.name} seed {seed} {mode}")
    counts: dict[str, object] = {}
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            await case.function(run)
            counts = await judge(run)
        run.violations += [f"proxy: {error!r}" for error in site.proxy.errors]
    except Exception as error:  # noqa: BLE001  the next run shall take place, and this one is told as failed
        run.must(False, f"the run failed: {error!r}")
        tell("".join(traceback.format_exception(error)))
    finally:
        site.proxy.errors.clear()
        site.proxy.heal()
        await run.close()
        if run.violations and keep is not None:
            await asyncio.to_thread(_copy_logs, run)
        await _leave_nothing(run)
    result = Result(
        case=case.name, number=case.number, seed=seed, mode=mode, scale=scale, commit="", case_key=case_key(case),
        records=int(counts.get("records", 0)), labels=int(counts.get("labels", 0)), copies=int(counts.get("copies", 0)),
        violations=run.violations, recovery_s=_rounded(run.recovery_s), drain_s=_rounded(counts.get("drain_s")),
        took_s=round(time.monotonic() - began_s, 1), rss_mb=run.peaks.rss_bytes >> 20,
        disk_mb=run.peaks.disk_bytes >> 20,
        faults=run.faults, notes=run.notes,
    )  # fmt: skip
    tell(f"    {result.summary()}")
    if result.violations and keep is not None:
        kept = keep / folder.name
        await asyncio.to_thread(shutil.move, folder, kept)
        tell(f"    kept in {kept}")
    else:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return result


def _copy_logs(run: Run) -> None:
    """Keep Kafka's own files of the run's topics, and of offsets and transactions: `kafka.tools.DumpLogSegments`."""
    names = (run.name, f"app-{run.name}", "__consumer_offsets", "__transaction_state")
    for log in (run.kafka.root / "data").iterdir():
        if log.is_dir() and log.name.startswith(names):
            shutil.copytree(log, run.folder / "kafka" / log.name, dirs_exist_ok=True)


async def _leave_nothing(run: Run) -> None:
    """Delete the run's topics: a broker that has thousands of partitions starts and answers slowly."""
    if run.watch is None:
        return
    if not run.case.own_broker:
        with contextlib.suppress(Exception):  # a broker that has gone has no topics
            await asyncio.to_thread(lambda: run.watch.delete(run.watch.topics_with(run.name)))
    await asyncio.to_thread(run.watch.close)


def _rounded(value: object) -> float | None:
    return round(value, 2) if isinstance(value, float) else None
