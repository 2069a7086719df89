"""The high-rate source, a process of its own: real cases drawn again and again, sent in batches at a set rate.

    python -m app.demo.load --broker 127.0.0.1:9092 --rate 20000

It tells on standard output, one JSON object a line, what it has sent. SIGTERM ends the features; labels still owed
follow at once. Records go to explicit partitions, with keys that Java's partitioner would send there too, so an event
and its label meet although no key is hashed on the way.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from app.demo.broken import FAULTS, broken_value
from app.demo.phishing import FEATURES, Case, load_cases
from app.replay.batches import MAX_BATCH_BYTES, BatchSender

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TICK_S = 0.02
LABEL_DELAY_S = 2.0
BROKEN_EVERY = 10_000
REPORT_EVERY_S = 0.25


class Load(NamedTuple):
    """What to send where; *labels* is None for features alone."""

    features: str
    labels: str | None
    partitions: int
    rate: float


class Chunk(NamedTuple):
    """The valid events of one tick and partition, whose labels are due at *labels_due_s*."""

    labels_due_s: float
    partition: int
    first: int
    """Number of the first event in the stream; the others follow one by one."""
    size: int


def keys_for(partitions: int) -> list[bytes]:
    """One key for each partition: the one that Java's default partitioner sends there.

    >>> [(murmur2(key) & 0x7FFFFFFF) % 3 for key in keys_for(3)]
    [0, 1, 2]
    """
    found: dict[int, bytes] = {}
    for number in itertools.count():
        key = f"crawler-{number}".encode()
        found.setdefault((murmur2(key) & 0x7FFFFFFF) % partitions, key)
        if len(found) == partitions:
            return [found[partition] for partition in range(partitions)]
    raise AssertionError("unreachable")


class Templates:
    """The records of event number n, put together from parts that were encoded once."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._ids = [case.id for case in cases]
        # What follows the time in the JSON object: ,"https":1.0,...}
        tails = (dict(zip(FEATURES, case.features, strict=True)) for case in cases)
        self._tails = [b"," + msgspec.json.encode(tail)[1:] for tail in tails]
        self._labels = [msgspec.json.encode(case.label) for case in cases]

    def feature(self, number: int, at_s: float) -> bytes:
        """The feature record's value of event *number*."""
        pass_number, place = divmod(number, len(self._ids))
        return b'{"id":"%s~%d","at":%.6f%s' % (self._ids[place].encode(), pass_number + 1, at_s, self._tails[place])

    def label(self, number: int, at_s: float) -> bytes:
        """The label record's value of event *number*."""
        pass_number, place = divmod(number, len(self._ids))
        name = self._ids[place].encode()
        return b'{"id":"%s~%d","label":%s,"at":%.6f}' % (name, pass_number + 1, self._labels[place], at_s)

    def broken(self, number: int, at_s: float) -> bytes | None:
        """A record like that of event *number*, with a fault."""
        fault = FAULTS[number // BROKEN_EVERY % len(FAULTS)]
        event = msgspec.json.decode(self.feature(number, at_s))
        return broken_value(event | {"id": f"{event['id']}-broken"}, fault)

    def pass_of(self, number: int) -> int:
        """The pass that event *number* belongs to."""
        return number // len(self._ids) + 1


class Source:
    """Sends at the set rate until stopped; behind its schedule it catches up, as an open loop must."""

    def __init__(self, producer: Any, load: Load, cases: Sequence[Case]) -> None:
        self._sender = BatchSender(producer)
        self._load = load
        self._templates = Templates(cases)
        self._keys = keys_for(load.partitions)
        self._owed: deque[Chunk] = deque()
        self._unconfirmed: deque[asyncio.Future[Any]] = deque()
        self._numbers = 0
        self._events = 0
        self._labels = 0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Send until `stopping` is set, then the labels that are owed; returns once Kafka has confirmed all."""
        start_s = last_report_s = time.time()  # noqa: TID251 - an edge: events get the time at which they are sent
        while not self.stopping.is_set():
            now_s = time.time()  # noqa: TID251 - as above
            due = int((now_s - start_s) * self._load.rate) - self._events
            # No tick sends more than a fifth of a second's worth, so that labels and reports keep coming.
            await self._send_events(min(due, max(1, int(self._load.rate / 5))), now_s)
            await self._send_labels(now_s, until_s=now_s)
            if now_s - last_report_s >= REPORT_EVERY_S:
                self._report()
                last_report_s = now_s
            await asyncio.sleep(max(0.0, now_s + TICK_S - time.time()))  # noqa: TID251 - as above
        await self._send_labels(time.time(), until_s=float("inf"))  # noqa: TID251 - as above
        await asyncio.gather(*self._unconfirmed)
        self._report()

    async def _send_events(self, count: int, now_s: float) -> None:
        partitions = self._load.partitions
        for partition, share in enumerate(_shares(count, partitions, self._events)):
            first = self._numbers
            values: list[bytes | None] = [self._templates.feature(first + i, now_s) for i in range(share)]
            self._numbers += share
            damaged = range(first + -first % BROKEN_EVERY, first + share, BROKEN_EVERY)
            values.extend(self._templates.broken(number, now_s) for number in damaged)
            await self._send(self._load.features, partition, values)
            self._events += len(values)
            if self._load.labels is not None and share:
                self._owed.append(Chunk(now_s + LABEL_DELAY_S, partition, first, share))

    async def _send_labels(self, now_s: float, *, until_s: float) -> None:
        while self._load.labels is not None and self._owed and self._owed[0].labels_due_s <= until_s:
            chunk = self._owed.popleft()
            values = [self._templates.label(chunk.first + i, now_s) for i in range(chunk.size)]
            await self._send(self._load.labels, chunk.partition, values)
            self._labels += chunk.size

    async def _send(self, topic: str, partition: int, values: Iterable[bytes | None]) -> None:
        key = self._keys[partition]
        sent = await self._sender.send(topic, partition, ((key, value) for value in values))
        self._unconfirmed.extend(future for future, _ in sent)
        while self._unconfirmed and self._unconfirmed[0].done():
            self._unconfirmed.popleft().result()

    def _report(self) -> None:
        report = {
            "events": self._events,
            "labels": self._labels,
            "pass_number": self._templates.pass_of(max(self._numbers - 1, 0)),
            "labels_waiting": sum(chunk.size for chunk in self._owed),
        }
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()


def _shares(count: int, partitions: int, turn: int) -> Iterator[int]:
    """*count* events over the partitions; the remainder goes round with *turn*.

    >>> list(_shares(5, 3, turn=1)), list(_shares(2, 3, turn=2))
    ([1, 2, 2], [1, 0, 1])
    """
    whole, rest = divmod(max(count, 0), partitions)
    for partition in range(partitions):
        yield whole + ((partition - turn) % partitions < rest)


async def send(broker: str, load: Load) -> None:
    """Send *load* to *broker* until SIGTERM or SIGINT."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, max_batch_size=MAX_BATCH_BYTES)
    await producer.start()
    try:
        source = Source(producer, load, load_cases().streamed)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, source.stopping.set)
        await source.run()
    finally:
        await producer.stop()


def main(argv: Sequence[str] | None = None) -> None:
    """The command line: flags are those of `Load`."""
    import argparse  # noqa: PLC0415 - only where this is run as a program

    parser = argparse.ArgumentParser(prog="python -m app.demo.load", description="Send features at a set rate.")
    parser.add_argument("--broker", required=True, help="host:port")
    parser.add_argument("--features", default="fraud.features", help="topic of the features")
    parser.add_argument("--labels", default=None, help="topic of the labels; without it none are sent")
    parser.add_argument("--partitions", type=int, required=True, help="partition count of both topics")
    parser.add_argument("--rate", type=float, required=True, help="features a second")
    args = parser.parse_args(argv)
    asyncio.run(send(args.broker, Load(args.features, args.labels, args.partitions, args.rate)))


if __name__ == "__main__":
    main()
