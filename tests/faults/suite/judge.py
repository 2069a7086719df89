"""Judging a run once its faults are over: drained, ended in order, and every invariant looked at from outside."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests import programs
from tests.faults.suite import changelog
from tests.faults.suite.run import Run

RSS_MAX_BYTES = 450 << 20
LEDGER_LEAST_BYTES = 4 << 20
LEDGER_BYTES_PER_ID = 200
"""Measured: 90 to 150 bytes of a ledger for each id that it has seen, its write-ahead log included."""
LOG_MAX_BYTES = 4 << 20
CLASSES = ("0", "1")
"""Of the contracts of tests.workers, as `performance` names them."""
MARKER_WITHIN_S = 15.0
REFUSED_MAX = 0.02
"""Of the load; Kafka refuses poison that is larger than a topic takes."""


async def judge(run: Run) -> dict[str, Any]:
    """Heal, drain, end and check; what was found goes to the run's violations, the counts are returned."""
    run.heal()
    drained_s = await drain(run)
    await end_workers(run)
    await check_no_open_transactions(run)
    check_input(run)
    counts = await verify(run)
    await check_changelog(run)
    for check in run.checks:
        await asyncio.to_thread(check)
    check_bounds(run)
    return {**counts, "drain_s": drained_s}


async def drain(run: Run) -> float | None:
    """Wait until the group has read everything and the ledgers have counted everything (P7); the seconds it took."""
    if not run.supervised:
        run.spawn()
    began_s, deadline = time.monotonic(), time.monotonic() + run.case.drain_s
    lag = "nothing is known"
    while time.monotonic() < deadline:
        try:
            lag = await asyncio.to_thread(_lag, run)
        except Exception as error:  # noqa: BLE001  the broker may still be coming up
            lag = repr(error)
        if not lag:
            break
        await asyncio.sleep(0.15)
    run.must(not lag, f"P7 not drained within {run.case.drain_s:g} s: {lag}")
    if lag:
        return None
    await run.eventually(lambda: _all_ready(run), 30.0, "P7 all workers ready after the drain")
    return time.monotonic() - began_s


async def is_counted(run: Run) -> bool:
    """Whether all that there is was read and counted."""
    return not await asyncio.to_thread(_lag, run)


def _lag(run: Run) -> str:
    """What is still to be done, empty if nothing is."""
    topics, watch = run.pipeline.topics, run.watch
    ends, committed = watch.ends([topics.features]), watch.committed(topics.features)
    behind = {at: end - committed.get(at, 0) for at, end in ends.items() if committed.get(at, 0) < end}
    if behind:
        return f"features behind by {behind}"
    by_id = run.pipeline.contract.is_by_id
    if by_id:
        for topic in (topics.predictions, topics.labels):
            committed = watch.committed(topic)
            for at, last in watch.last_records(topic).items():
                if committed[at] < last:
                    return f"{at} keyed anew to {committed[at]} of {last}"
    watch.follow_performance(topics.performance)
    for number, topic in enumerate([topics.ledger] if by_id else [topics.predictions, topics.labels]):
        lasts = watch.ends([topic]) if topic == topics.labels else watch.last_records(topic)
        for (_, partition), last in lasts.items():
            position = watch.positions.get(partition, (0, 0))[number]
            if position < last:
                return f"{topic}-{partition} counted to {position} of {last}"
    return ""


async def _all_ready(run: Run) -> bool:
    if not run.supervised:
        return False
    for worker in run.supervised:
        if not worker.ready_file.exists() or (await worker.get("/readyz"))[0] != 200:
            return False
    return True


async def end_workers(run: Run) -> None:
    """SIGTERM to all that live; they were drained and end in order."""
    await asyncio.gather(*(run.terminate(each) for each in list(run.supervised) if each.process.poll() is None))


async def check_no_open_transactions(run: Run) -> None:
    """P6: what read-committed readers see ends where the topic ends, so that any further record would be seen."""
    topics = [topic for topic in run.watch.topics_with(run.name) if not topic.endswith("model-bytes")]

    def open_ones() -> dict[Any, str]:
        stable, written = run.watch.ends(topics), run.watch.ends(topics, committed=False)
        return {at: f"{stable[at]} of {end}" for at, end in written.items() if stable[at] < end}

    deadline = time.monotonic() + MARKER_WITHIN_S
    while left := await asyncio.to_thread(open_ones):
        if time.monotonic() > deadline:
            run.must(False, f"P6 open transactions: readers stop at {left}")
            return
        await asyncio.sleep(0.3)


def check_input(run: Run) -> None:
    """What Kafka acknowledged to the load is there (else nothing said of the outcomes would count)."""
    topics = run.pipeline.topics
    for topic in (topics.features, topics.labels):
        wanted = sum(load.acknowledged[topic] for load in run.loads)
        found = sum(run.watch.ends([topic]).values())
        failed = sum(load.failed[topic] for load in run.loads)
        run.must(found >= wanted, f"P1 Kafka holds {found} records of {topic}, but has acknowledged {wanted}")
        if failed:
            run.notes.append(f"{failed} records of {topic} were not accepted by Kafka")
        run.must(failed <= wanted * REFUSED_MAX, f"Kafka has refused {failed} records of {topic}: the run shows little")


async def verify(run: Run) -> dict[str, Any]:
    """P1 to P5 by the independent checker; how many records and copies it has seen."""
    told = run.folder / "verify.json"
    copies = ["--delivery", run.mode, *(["--no-faults"] if run.case.no_copies else [])]
    _, output, report = await programs.verify(
        run.kafka.bootstrap, run.name, run.pipeline.models_dir, "--app-id", f"app-{run.name}", *copies, report_at=told
    )
    report = report or {}
    if not report.get("ok"):
        (run.folder / "verify.txt").write_text(output)
        found = {name: each["found"] for name, each in report.get("checks", {}).items() if each["found"]}
        run.must(False, f"verify: {found or output[-500:]}")
    facts = report.get("facts", {})
    dropped = facts.get("pending_dropped", {})
    run.must(not dropped or run.case.may_drop, f"P4 ids were dropped, so that nothing exact is claimed: {dropped}")
    checks = report.get("checks", {})
    return {
        "records": checks.get("outcomes", {}).get("checked", 0),
        "labels": checks.get("ledger", {}).get("checked", 0),
        "copies": facts.get("copies", 0),
    }


async def check_changelog(run: Run) -> None:
    """P5: the table, folded from its changelog, says of partitions, panes and versions what `performance` says."""
    records = await asyncio.to_thread(run.watch.read, run.changelog)
    rows = changelog.folded((message.key(), message.value()) for message in records)
    await asyncio.to_thread(run.watch.follow_performance, run.pipeline.topics.performance)
    found = changelog.differences(rows, run.watch.told, run.name, CLASSES)
    run.must(rows, "P5 the changelog has no rows")
    scored = {int(version) for told in run.watch.ledgers.values() for version in told.get("totals", {})}
    run.must(scored == run.versions, f"P3 versions {sorted(run.versions)} were to score, {sorted(scored)} did")
    run.must(not found, f"P5 table and performance differ {len(found)} times: {'; '.join(found[:3])}")


def check_bounds(run: Run) -> None:
    """P8: memory, disk and logs stayed within bounds, also while the workers lived."""
    peaks = run.peaks
    run.must(peaks.rss_bytes and peaks.ledger_bytes, "P8 nothing was measured")
    run.must(peaks.rss_bytes <= RSS_MAX_BYTES, f"P8 a worker took {peaks.rss_bytes >> 20} MB of memory")
    ids = max((predicted_in(told) for told in run.watch.ledgers.values()), default=0)
    text = f"a ledger took {peaks.ledger_bytes >> 10} kB of disk for {ids} ids"
    run.notes.append(text)
    run.must(peaks.ledger_bytes <= LEDGER_LEAST_BYTES + ids * LEDGER_BYTES_PER_ID, f"P8 {text}")
    for worker in run.pipeline.workers:
        size = worker.log.stat().st_size
        run.must(size <= LOG_MAX_BYTES, f"P8 {worker.name} logged {size >> 10} kB")


def predicted_in(told: dict[str, Any]) -> int:
    """How many ids a partition's ledger record says were predicted."""
    return sum(counters.get("predicted", 0) for counters in told.get("totals", {}).values())
