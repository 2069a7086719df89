"""Times in disorder: of events, of the clocks that stamp records, and of the worker's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.suite.load import Message, Source, label
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.workers import WorkerProcess

DAY_S = 86_400.0
OLDEST_DAYS = 4
RETENTION_S = 2 * DAY_S
"""Of panes under an hour (docs/contracts.md)."""
PANES_PER_ROW = 16
SHORT_HORIZON_S, LONG_HORIZON_S = 30.0, 6 * DAY_S
"""With the long one no id is ever forgotten, so that every label must be in its true state however time leaps."""


def disordered(name: str, *, stamps: bool) -> Source:
    """Events whose own times leap by up to four days back and one ahead; stamps: the times of the records leap too."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        number = 0
        while True:
            now_s = time.time()
            near_s, far_s = rng.uniform(-100, 100), rng.uniform(-OLDEST_DAYS * DAY_S, DAY_S)
            at = now_s + rng.choice([0.0, 0.0, 0.0, near_s, far_s, -DAY_S, DAY_S])
            key, id_ = b"user-%d" % (number % 61), f"{name}-{number}"
            a, b = rng.uniform(-3, 3), rng.uniform(-3, 3)
            event = {"id": id_, "user": key.decode(), "at": at, "a": a, "b": b}
            # Up to 60 s ahead a partition waits for the models of then, by design: here it is 5 s at most, or a day.
            stamp_leap_s = rng.choice([0.0, 0.0, rng.uniform(-DAY_S, 5), rng.uniform(61, DAY_S), DAY_S])
            stamp_s = now_s + stamp_leap_s if stamps else 0.0
            out = [Message(False, key, json.dumps(event).encode(), int(stamp_s * 1000))]
            if rng.random() < 0.8:
                out.append(label(key, id_, int(a > b), at + rng.choice([0.0, 10.0, 29.0, 31.0, DAY_S, -DAY_S])))
            number += 1
            yield out

    return messages


@case(21, drain_s=90.0)
async def time_disorder(run: Run) -> None:
    """Event times, and in every other run the clocks that stamp records too, leap by days both ways."""
    stamps = bool(run.seed % 2)
    horizon_s = SHORT_HORIZON_S if run.seed % 4 in (2, 3) else LONG_HORIZON_S
    await run.begin(session_timeout_s=3, horizon_s=horizon_s)
    if stamps:
        configs = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2 * int(DAY_S) * 1000)}
        await run.set_configs(run.pipeline.topics.features, configs)
        run.say("record timestamps leap too")
    worker = await run.worker()
    async with run.load(source=disordered(run.name, stamps=stamps), per_s=2000):
        await run.pause(1.0, 2.5)
        await run.kill(worker)
        worker = await run.worker()
        await run.pause(0.5, 1.0)
        run.heal()
    if stamps:
        await run.eventually(lambda: _counts_future(worker), 20.0, "records from the future are counted")

    def bounded() -> None:
        late = sum(told.get("too_late", 0) for told in run.watch.ledgers.values())
        run.notes.append(f"{late} labels were too late")
        run.must(
            late == 0 or horizon_s == SHORT_HORIZON_S, f"P4 {late} labels are too late, although no id is forgotten"
        )
        run.must(late > 0 or horizon_s == LONG_HORIZON_S or run.scale < 1, "no label was too late")
        old = old_panes(run.watch.told, {number: told["event_time_s"] for number, told in run.watch.ledgers.items()})
        run.must(not old, f"P8 {len(old)} panes are kept beyond their time: {old[:3]}")

    run.when_drained(bounded)


def old_panes(told: Mapping[bytes, dict[str, Any] | None], event_time_s: Mapping[int, float]) -> list[str]:
    """Keys of panes of seconds and minutes that should have been removed, E of their partition being so far beyond."""
    found = []
    for key, record in told.items():
        if record is not None and not key.startswith(b"ledger/"):
            _, _, window_s, start_s, partition = key.decode().split("/")
            row_end_s = int(start_s) + PANES_PER_ROW * int(window_s)
            if row_end_s + RETENTION_S < event_time_s[int(partition)]:
                found.append(key.decode())
    return found


async def _counts_future(worker: WorkerProcess) -> bool:
    _, text = await worker.get("/metrics")
    counted = [
        line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("faust_onnx_future_timestamp_total")
    ]
    return any(float(number) > 0 for number in counted)


@case(21, exits=8, drain_s=90.0)
async def clock_steps(run: Run) -> None:
    """The worker's clock leaps a day ahead and a day back, and is right again; Kafka's and the load's are right."""
    await run.begin(session_timeout_s=3)
    clock = run.folder / "clock"
    clock.write_text("0")
    worker = await run.worker(hooks={"FAULT_CLOCK": str(clock)})
    run.notes.append("the clock is what Python code asks, time.time() of the worker, shifted by a module of the test")
    leaps = [DAY_S, -DAY_S]
    run.rng.shuffle(leaps)
    async with run.load(per_s=1500):
        for shift_s in leaps[: run.times(2)]:
            await run.pause(1.0, 2.0)
            before = run.exits
            clock.write_text(str(shift_s))
            run.say(f"the clock is {shift_s:+,.0f} s off")
            await run.pause(3.0, 5.0)
            clock.write_text("0")
            run.say(f"and is right again; {run.exits - before} workers ended meanwhile")
            worker = run.supervised[-1] if run.supervised else worker
        run.heal()
    told = "cannot go on" in run.logs() or "error:" in run.logs()
    run.must(not run.exits or told, "P7 a worker that ends because of its clock says why")
