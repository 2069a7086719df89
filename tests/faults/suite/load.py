"""Load: events and labels as fast as is wanted, from a thread, with what Kafka has acknowledged counted."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from confluent_kafka import Producer

CHUNK = 200
LABEL_LAG = 300
"""A label follows its event so many events later, at most."""


class Message(NamedTuple):
    """What is sent."""

    labels: bool
    """To the labels topic, not to the features."""
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0
    """0: the time of sending."""
    headers: tuple[tuple[str, bytes | None], ...] = ()


Source = Callable[[Any], Iterator[list[Message]]]
"""From a run's randomness to what is sent for each event: itself and labels that are due."""


def usual(name: str, *, labels: float = 0.9) -> Source:
    """Events of two numbers, one in thirty of them broken, and labels for most, some twice."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        waiting: deque[Message] = deque()
        number = 0
        random = rng.random
        while True:
            a, b, at = random() * 6 - 3, random() * 6 - 3, time.time()
            key = b"user-%d" % (number % 61)
            id_ = f"{name}-{number}"
            fault = int(random() * 90)
            shown = ('"much"', "", "1000.0")[fault] if fault in (0, 1, 2) else repr(a)
            shown_a = f',"a":{shown}' if shown else ""
            value = f'{{"id":"{id_}","user":"{key.decode()}","at":{at!r}{shown_a},"b":{b!r}}}'
            out = [Message(False, key, value.encode())]
            if random() < labels:
                truth = int((a > b) == (random() < 0.8))
                waiting.append(label(key, id_, truth, at + random() * 40))
                if random() < 0.05:
                    waiting.append(label(key, id_, int(random() < 0.5), at + 1))
            if len(waiting) > LABEL_LAG:
                waiting.rotate(-int(random() * 40))
                out += [waiting.popleft() for _ in range(2 if len(waiting) > LABEL_LAG + 40 else 1)]
            number += 1
            yield out

    return messages


def scattered(name: str) -> Source:
    """The usual events; their labels have no key and lie anywhere."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        for sent in usual(name)(rng):
            yield [message._replace(key=None) if message.labels else message for message in sent]

    return messages


def label(key: bytes | None, id_: str, truth: Any, at: float) -> Message:
    """A label as users write it."""
    return Message(True, key, json.dumps({"id": id_, "label": truth, "at": at}).encode())


class Load:
    """Sends in a thread of its own until it was told to stop and has sent enough."""

    def __init__(self, bootstrap: str, topics: Any, source: Source, rng: Any, *, n: int, per_s: float | None) -> None:
        """n: events at least; per_s: how many a second before `finish`, None for *n* as fast as it goes."""
        self._topics = (topics.features, topics.labels)
        self._source, self._rng, self._n, self._per_s = source, rng, n, per_s
        self._stop = threading.Event()
        self.acknowledged: Counter[str] = Counter()
        """By topic."""
        self.failed: Counter[str] = Counter()
        self.events = 0
        self._producer = Producer({
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
            "message.timeout.ms": 240_000,
            "topic.metadata.refresh.interval.ms": 1000,
            "socket.timeout.ms": 10_000,
            "message.max.bytes": 4_000_000,
            "log_level": 0,
        })  # fmt: skip
        self._task: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Start to send."""
        self._task = asyncio.ensure_future(asyncio.to_thread(self._send))

    async def finish(self) -> None:
        """Send what is still missing, as fast as it goes, and wait until Kafka has acknowledged all of it."""
        self._stop.set()
        await self._task

    async def reach(self, events: int) -> None:
        """Wait until so many events were sent."""
        while self.events < events and not self._task.done():  # noqa: ASYNC110  a thread counts, not this loop
            await asyncio.sleep(0.02)

    def _note(self, error: Any, message: Any) -> None:
        (self.failed if error else self.acknowledged)[message.topic()] += 1

    def _send(self) -> None:
        messages = self._source(self._rng)
        began_s = time.perf_counter()
        while self.events < self._n or (self._per_s and not self._stop.is_set()):
            if self._per_s and not self._stop.is_set():
                due = int((time.perf_counter() - began_s) * self._per_s) - self.events
                if due <= 0:
                    self._producer.poll(0.005)
                    continue
                self._send_some(messages, min(due, CHUNK))
            else:
                self._send_some(messages, CHUNK)
        while self._producer.flush(5.0):
            pass

    def _send_some(self, messages: Iterator[list[Message]], count: int) -> None:
        for _ in range(count):
            for message in next(messages):
                self._produce(message)
        self.events += count
        self._producer.poll(0)

    def _produce(self, message: Message) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topics[message.labels], message.value, message.key, on_delivery=self._note,
                    timestamp=message.timestamp_ms, headers=list(message.headers) or None,
                )  # fmt: skip
            except BufferError:
                self._producer.poll(0.05)
            else:
                return
