"""A run of the demo from beginning to end: start, stream, swap, drain, count, verify, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec

from app.demo.intake import SteadyIntake
from app.demo.load import Load
from app.demo.observe import Watch
from app.demo.phishing import load_cases
from app.demo.processes import LoadIntake, Verdict, Worker, as_arguments, verify
from app.demo.recount import Recount, recount
from app.demo.report import summary
from app.demo.schedule import Schedule
from app.demo.screen import Screen, save_picture
from app.demo.story import Story
from app.demo.view import clock
from app.registry import publish
from app.topology.topics import await_topics, ensure_topics

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from app.demo.intake import Intake
    from app.demo.kafka import Place
    from app.demo.options import Options

READY_TIMEOUT_S = 90.0
_TICK_S = 0.25
_DRAIN_SILENCE_S = 20.0
"""How long nothing may move while draining before it is given up."""
_DRAIN_S = 180.0
_OK, _FAILED = 0, 1


class Run:
    """One run at *place*; `stopping` ends the intake early. *folder* takes logs and state."""

    def __init__(self, place: Place, options: Options, console: Console, *, folder: Path) -> None:
        self._place = place
        self._options = options
        self._console = console
        self._folder = folder
        self._partitions = 0
        self._start_s = 0.0
        self._streamed_s = 0.0
        self._publishing: asyncio.Task[float] | None = None
        self._effective_from_s: float | None = None
        self._cases = load_cases().streamed
        self._story = Story(
            "phishing web sites, scored as they come",
            seconds=options.seconds,
            n_cases=len(self._cases),
            window_s=place.contract.windows_s[0],
        )
        self.stopping = asyncio.Event()
        self.streaming = False

    async def run(self) -> int:
        """The exit code: 0, or 1 when an event has no outcome or the verifier found a violation."""
        contract = self._place.contract
        states = await ensure_topics(self._place.bootstrap, contract, partitions=self._options.partitions)
        self._partitions = next(state.partitions for state in states if state.topic == contract.topics.features)
        await await_topics(self._place.bootstrap, {state.topic: state.partitions for state in states})
        with self._worker() as worker:
            # The worker comes up while the first version travels.
            _, url = await asyncio.gather(self._publish(1), worker.ready(timeout_s=READY_TIMEOUT_S))
            await self._stream(worker, url)
            status = await worker.stop()
        code = await self._sum_up()
        if status == 0:
            return code
        how = "had to be killed" if status is None else f"ended with status {status}"
        self._say(f"told to stop, the worker {how}; its log ends:\n{worker.last_words()}")
        return _FAILED

    def _worker(self) -> Worker:
        flags = {
            "broker": self._place.bootstrap,
            "pipelines": self._place.contract.name,
            "models_dir": self._place.models_dir.absolute(),
            "app_id": self._place.app_id,
            "state_dir": self._folder / "state",
        }
        return Worker(as_arguments(flags), folder=self._folder)

    async def _publish(self, version: int) -> float:
        """Publish and activate *version*; from which instant on it is in force."""
        place = self._place
        model = await asyncio.to_thread(self._options.release(version).read_bytes)
        published = await publish(
            place.bootstrap, place.contract.topics, place.contract.name, model,
            author="demo", now_s=_now_s(), version=version, contract_sha256=place.contract.model_sha256, activate=True,
        )  # fmt: skip
        if published.activation is None:
            raise RuntimeError("an activation was asked for and not made")
        return published.activation.effective_from_s

    async def _stream(self, worker: Worker, url: str) -> None:
        intake = self._intake()
        watch = Watch(self._place.bootstrap, self._place.contract, partitions=self._partitions, worker_url=url)
        async with watch, contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(intake.close)
            stack.push_async_callback(self._end_publishing)
            screen = stack.enter_context(Screen(self._console))
            self._start_s = time.monotonic()
            self.streaming = True
            await intake.start()
            self._happened(f"version 1 serves; the worker tells more at {url}")
            while not self.stopping.is_set() and not self._is_over():
                await self._tick(worker, watch, intake, screen, next_step=self._next_step())
                self._swap()
            self._streamed_s = self._elapsed_s()
            # From here on the next Ctrl-C is the second one.
            self.stopping.set()
            await intake.stop_events()
            await self._drain(worker, watch, intake, screen)

    def _intake(self) -> Intake:
        topics, rate = self._place.contract.topics, self._options.rate
        if self._options.is_load:
            labels = topics.labels if self._options.labels else None
            return LoadIntake(self._place.bootstrap, Load(topics.features, labels, self._partitions, rate))
        schedule = Schedule(self._cases, rate=rate, start_s=_now_s(), labelled=self._options.labels)
        return SteadyIntake(self._place.bootstrap, topics, schedule, clock=_now_s)

    async def _tick(self, worker: Worker, watch: Watch, intake: Intake, screen: Screen, *, next_step: str) -> None:
        """One look at everything and one picture of it; raises what went wrong with the worker or the intake."""
        due_s = time.monotonic() + _TICK_S
        worker.check()
        intake.is_done()
        versions = [1] if self._effective_from_s is None else [1, 2]
        facts = await watch.look(now_s=_now_s(), versions=versions)
        self._story.look(self._elapsed_s(), facts, intake.sent)
        ctrl_c = "Ctrl-C aborts" if self.stopping.is_set() else "Ctrl-C ends it"
        view = self._story.picture(self._elapsed_s(), next_step=next_step, ctrl_c=ctrl_c)
        screen.show(view)
        if self._options.picture_path is not None and self._story.live_version > 1 and not self.stopping.is_set():
            save_picture(view, self._options.picture_path)
        await asyncio.sleep(due_s - time.monotonic())

    def _swap(self) -> None:
        """Begin to publish the second version when its time has come, and take note once that is done."""
        if self._publishing is None and self._elapsed_s() >= self._options.swap_after_s:
            self._publishing = asyncio.create_task(self._publish(2), name="demo-publish")
        if self._effective_from_s is None and self._publishing is not None and self._publishing.done():
            self._effective_from_s = self._publishing.result()
            self._happened("version 2 is published; its activation names an instant ahead, the same for every worker")

    async def _end_publishing(self) -> None:
        if self._publishing is not None and not self._publishing.done():
            self._publishing.cancel()
            await asyncio.wait([self._publishing])

    def _next_step(self) -> str:
        if self._effective_from_s is not None and self._story.live_version == 1:
            left_s = self._effective_from_s - _now_s()
            return f"version 2 goes live in {left_s:.0f} s" if left_s > 0 else "version 2 goes live now"
        if self._publishing is None:
            return f"version 2 is published in {max(self._options.swap_after_s - self._elapsed_s(), 0):.0f} s"
        if self._effective_from_s is None:
            return "version 2 is on its way"
        if self._options.seconds is not None:
            return f"the intake stops in {clock(max(self._options.seconds - self._elapsed_s(), 0))}"
        return ""

    async def _drain(self, worker: Worker, watch: Watch, intake: Intake, screen: Screen) -> None:
        """Look on until every event has its outcome and every label has joined, or until nothing moves any more."""
        self._happened("the intake has stopped; what is under way comes to its end")
        deadline_s = time.monotonic() + _DRAIN_S
        moved_s, before = time.monotonic(), (-1, -1)
        while True:
            facts = self._story.facts
            owed = max(facts.labels - facts.labels_joined, 0)
            left = (facts.open_events, owed + intake.sent.labels_waiting)
            await self._tick(
                worker, watch, intake, screen, next_step=f"draining, {left[0]:,} events and {left[1]:,} labels to go"
            )
            if intake.is_done() and left == (0, 0) == before:
                self._happened("drained: every event has its outcome, every label its prediction")
                break
            now_s = time.monotonic()
            if left != before:
                moved_s, before = now_s, left
            if now_s > deadline_s or now_s - moved_s > _DRAIN_SILENCE_S:
                told = f"{left[0]:,} events and {left[1]:,} labels are left"
                self._happened(f"draining is given up after {now_s - deadline_s + _DRAIN_S:.0f} s: {told}")
                break
        screen.show(self._story.picture(self._elapsed_s(), next_step=""))

    async def _sum_up(self) -> int:
        place = self._place
        self._say("reading the topics from offset 0 ...")
        counting = recount(place.bootstrap, place.contract.topics, label_horizon_s=place.contract.label_horizon_s)
        verifying = self._verify() if self._options.verify else _nobody_asked()
        counted, verdict = await asyncio.gather(counting, verifying)
        if verdict is not None and not verdict.holds:
            self._say(verdict.report)
        self._console.print(
            summary(counted, kafka=place.kafka, seconds=self._streamed_s, verdict=verdict), highlight=False
        )
        if self._options.json_path is not None:
            self._write_json(self._options.json_path, counted, verdict)
        return _OK if counted.is_complete and (verdict is None or verdict.holds) else _FAILED

    async def _verify(self) -> Verdict | None:
        flags = {
            "broker": self._place.bootstrap,
            "pipeline": self._place.contract.name,
            "models_dir": self._place.models_dir.absolute(),
            "app_id": self._place.app_id,
        }
        return await verify([*as_arguments(flags), "--no-faults"])

    def _write_json(self, path: Path, counted: Recount, verdict: Verdict | None) -> None:
        content = counted.as_json(kafka=self._place.kafka) | {"seconds": round(self._streamed_s, 3)}
        if verdict is not None:
            content["verified"] = verdict.holds
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")

    def _is_over(self) -> bool:
        return self._options.seconds is not None and self._elapsed_s() >= self._options.seconds

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._start_s

    def _happened(self, sentence: str) -> None:
        self._story.happened(self._elapsed_s(), sentence)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


async def _nobody_asked() -> Verdict | None:
    return None


def _now_s() -> float:
    """The clock of the edges: producers and the view live in real time."""
    return time.time()  # noqa: TID251 - an edge
