"""Records that are poison, labels of every kind, and times in disorder."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.suite.load import Message, Source, label, usual
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run

DAY_S = 86_400.0


def poison(name: str) -> Source:
    """The usual load, and every seventh event is one that must become a dead letter - or only looks like one."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        for number, usual_ones in enumerate(usual(name)(rng)):
            if number % 7:
                yield usual_ones
                continue
            good = {"id": f"{name}-bad-{number}", "user": "u", "at": time.time(), "a": 1.0, "b": 2.0}
            kind = rng.randrange(len(POISONS))
            key, value, headers = POISONS[kind](good, rng)
            yield [*usual_ones, Message(False, key, value, 0, headers)]

    return messages


def _document(**changes: Any):
    def make(good: dict[str, Any], _: Any) -> tuple[bytes | None, bytes | None, tuple[()]]:
        document = {name: value for name, value in (good | changes).items() if value is not ...}
        return b"u", json.dumps(document).encode(), ()

    return make


def _bytes(value: bytes | None, *, key: bytes | None = b"u", headers: tuple = ()):
    return lambda _good, _rng: (key, value, headers)


def _json(**document: Any) -> bytes:
    return json.dumps(document).encode()


POISONS = [
    _bytes(None), _bytes(b""), _bytes(b"{"), _bytes(b"[1, 2]"), _bytes(b"null"), _bytes(b"\xff\xfe{}"),
    _bytes(b"[" * 5000), _bytes(b'{"a":' * 500 + b"1" + b"}" * 500), _bytes(b"\x00" * 300), _bytes(b'{"id": "x"}x'),
    _document(a=...), _document(a=None), _document(a="1"), _document(a=True), _document(a=[1.0]), _document(a={}),
    _document(a=1e400), _document(a=-1e300), _document(a=100.5), _document(b=float("nan")), _document(b=float("inf")),
    _document(b=10**400), _document(b=3.5e38), _document(id=...), _document(id=""), _document(id=1.5),
    _document(id=["x"]), _document(id="\ud800"), _document(at=...), _document(at="yesterday"), _document(at=-1),
    _document(at=1e18), _document(at=float("nan")), _document(user="somebody else"), _document(user=...),
    _document(more={"deep": [{}] * 50}), _document(a=-0.0), _document(a=1), _document(id=17), _document(b=10**30),
lambda good, rng: (b"u", _json(**good, blob="x" * rng.choice([1_000_000, 1_048_300, 1_200_000])), ()),
    lambda good, _: (None, _json(**{name: v for name, v in good.items() if name != "user"}), ()),
    lambda good, _: (b"u", _json(**good), (("\u00e9", b"\xff\x00"), ("none", None), ("source-offset", b"x"))),
    lambda good, _: (b"\xff\xfe", _json(**good), ()),
    lambda good, _: (b"u", json.dumps(good).encode("utf-16"), ()),
]  # fmt: skip


@case(14, records=20_000)
async def poison_events(run: Run) -> None:
    """Every seventh event is poison - broken, huge, null, infinite, misnamed - and the worker is killed among them."""
    await run.begin(session_timeout_s=3)
    worker = await run.worker()
    async with run.load(source=poison(run.name), per_s=1500):
        for _ in range(run.times(2)):
            await run.pause(1.0, 2.5)
            await run.kill(worker)
            worker = await run.worker()
        run.heal()


@dataclass
class _Labelled:
    """An event to which labels are to be given."""

    key: bytes
    id: str
    at: float
    truth: int
    horizon_s: float
    rng: Any

    def label(self, after_s: float, *, id_: str | None = None, truth: Any = None) -> Message:
        """Its label, *after_s* seconds of event time later."""
        return label(self.key, id_ or self.id, self.truth if truth is None else truth, self.at + after_s)

    def in_time(self) -> Message:
        """A label within the horizon, the class sometimes as 1.0."""
        return self.label(self.rng.uniform(0, self.horizon_s), truth=self.rng.choice([self.truth, float(self.truth)]))


LABELS = {
    "expired": lambda e: [e.label(e.horizon_s * e.rng.uniform(1.01, 3))],
    "duplicate": lambda e: [e.label(1)] * e.rng.choice([2, 3]),
    "conflicting": lambda e: [e.label(1), e.label(2, truth=1 - e.truth)],
    "orphan": lambda e: [e.label(0, id_=f"{e.id}-nobody")],
    "bad": lambda e: [e.label(0, truth=e.rng.choice(["maybe", 2, 0.5, True, [], {}]))],
    "broken": lambda e: [Message(True, e.key, e.rng.choice([b"{", b"[]", b"1", b"", None]))],
    "never": lambda _: [],
}
"""By the state that they are made for; further kinds are `before`, `late` and `in_time`, the most frequent."""
KINDS = [*LABELS, "before", "late", *["in_time"] * 5]
AHEAD = 2000
"""A label follows its event so many events later, at most."""


def every_label(name: str, *, span_s: float, n: int, horizon_s: float) -> Source:
    """Events whose times go through *span_s*, and labels in every state of the ledger, bad ones too."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        begin_s = time.time() - span_s - 3600
        waiting: deque[list[Message]] = deque([] for _ in range(AHEAD))
        for number in itertools.count():
            a, b = rng.uniform(-3, 3), rng.uniform(-3, 3)
            truth = int((a > b) == (rng.random() < 0.8))
            at = begin_s + span_s * number / n
            it = _Labelled(b"user-%d" % (number % 61), f"{name}-{number}", at, truth, horizon_s, rng)
            event = {"id": it.id, "user": it.key.decode(), "at": it.at, "a": a, "b": b}
            out = [Message(False, it.key, json.dumps(event).encode())]
            match kind := rng.choice(KINDS):
                case "before":
                    out.insert(0, it.in_time())
                case "late":
                    waiting[-1].append(it.in_time())
                case "in_time":
                    waiting[rng.randrange(AHEAD)].append(it.in_time())
                case _:
                    waiting[rng.randrange(AHEAD)] += LABELS[kind](it)
            if rng.random() < 0.01:  # an id that is used again
                again = event | {"id": f"{name}-{max(0, number - 17)}"}
                out.append(Message(False, it.key, json.dumps(again).encode()))
            out += waiting.popleft()
            waiting.append([])
            yield out

    return messages


@case(18)
async def labels(run: Run) -> None:
    """Labels before their prediction, late, twice, contradicting, of nobody, bad and missing, with kills among them."""
    horizon_s = 20.0
    await run.begin(horizon_s=horizon_s, session_timeout_s=3)
    worker = await run.worker()
    source = every_label(run.name, span_s=900.0 * run.scale, n=run.n, horizon_s=horizon_s)
    async with run.load(source=source, per_s=2000):
        for _ in range(run.times(3)):
            await run.pause(0.5, 2.5)
            await run.kill(worker)
            worker = await run.worker()
        run.heal()


def disordered(name: str, *, stamps: bool) -> Source:
    """Events whose own times leap by up to a day both ways; stamps: so do the times of the records."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        number = 0
        while True:
            now_s = time.time()
            leap_s = rng.choice([0.0, 0.0, 0.0, rng.uniform(-DAY_S, DAY_S), rng.uniform(-100, 100), -DAY_S, DAY_S])
            at = now_s + leap_s
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
    """Event times, and in every other run the clocks that stamp records too, leap by up to a day both ways."""
    await run.begin(session_timeout_s=3)
    stamps = bool(run.seed % 2)
    if stamps:
        configs = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2 * int(DAY_S) * 1000)}
        await run.set_configs(run.pipeline.topics.features, configs)
        run.say("record timestamps leap too")
    worker = await run.worker()
    async with run.load(source=disordered(run.name, stamps=stamps), per_s=2000):
        await run.pause(1.0, 2.5)
        await run.kill(worker)
        await run.worker()
        await run.pause(0.5, 1.0)
        run.heal()
    status, told = await run.supervised[-1].get(f"/api/performance?pipeline={run.name}&window=10")
    run.must(status == 200 and len(told["panes"]) <= 2 * run.n, "P8 panes are bounded")
