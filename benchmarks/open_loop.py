"""Records sent on schedule, whatever becomes of them: an open loop, in a process of its own.

Record *first* + i of a plan is due at *begins_s* + i / *rate*, on the clock that all processes of a machine share
(`time.monotonic`). A sender that was kept from running sends what has become due at once; whoever measures counts from
when a record was due. Up to 2,000 records a second each is sent at its own time. Above that the sender looks once a
millisecond and sends what is due together, so that it keeps 100,000 records a second for half a core.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import KafkaException, Producer

from benchmarks.cluster import Cluster, client, raise_error
from benchmarks.processes import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Maker = Callable[[int], tuple[bytes, bytes]]

ONE_BY_ONE = 2000.0
"""Up to this rate each record is sent at its own time."""
BURST_S = 0.001
BURST_MAX = 2000
"""Records that are sent together at most, so that the sender looks up once in a while."""
QUEUE_MAX = 500_000
"""Records that wait in the sender for Kafka at most; beyond, it is late."""
STARTS_WITHIN_S = 60.0
AHEAD_S = 0.1
"""Between making a plan and the first record being due: the order has to reach the sender."""
FOR_EVER = 1 << 62
AT_ONCE = 1e9


@dataclass(frozen=True)
class Plan:
    """What is to be sent when."""

    topic: str
    rate: float
    """Records per second; `AT_ONCE`: as soon as there is leave."""
    begins_s: float
    first: int
    n: int

    @property
    def stop(self) -> int:
        """The number after the last record's."""
        return self.first + self.n

    def due_s(self, number: int) -> float:
        """When record *number* is to be sent, on the monotonic clock."""
        return self.begins_s + (number - self.first) / self.rate

    def due_by(self, now_s: float) -> int:
        """The number after the last record that is due at *now_s*.

        >>> plan = Plan("events", rate=10.0, begins_s=100.0, first=7, n=5)
        >>> plan.due_by(99.0), plan.due_by(100.0), plan.due_by(100.25), plan.due_by(900.0)
        (7, 8, 10, 12)
        """
        passed = (now_s - self.begins_s) * self.rate
        return self.stop if passed >= self.n else self.first + max(math.floor(passed) + 1, 0)


@dataclass(frozen=True)
class Sent:
    """What a sender says of a plan when it is done with it."""

    n: int
    latest_s: float
    """How far it was behind the plan at worst: it is part of every latency, and bad when large."""


class Sender:
    """The process that sends; a context manager. It carries out one plan at a time."""

    def __init__(self, cluster: Cluster, make: Callable[[], Maker]) -> None:
        """make: a function of a module, which crosses over; what it returns there makes key and value of a number."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._stopped = context.Event()
        self._leave = context.Value("q", FOR_EVER, lock=False)
        post = Post(theirs, self._stopped, self._leave, cluster.broker, cluster.partitions, make)
        self._process = context.Process(target=post.serve, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        if self._answer(STARTS_WITHIN_S) is not None:
            raise Unfit("the sender did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._process.kill()
        self._process.join()

    def begin(self, plan: Plan, *, leave: int | None = None) -> None:
        """Have *plan* carried out; `finish` says how that went. leave: up to which record, until more is granted."""
        self._stopped.clear()
        self._leave.value = FOR_EVER if leave is None else leave
        self._pipe.send(plan)

    def grant(self, number: int) -> None:
        """Send nothing from record *number* on until more is granted."""
        self._leave.value = number

    def finish(self, *, now: bool = False, within_s: float = 60.0) -> Sent:
        """Wait until the plan is carried out or, with *now*, have it ended. Unfit when the sender failed."""
        if now:
            self._stopped.set()
        sent = self._answer(within_s)
        if not isinstance(sent, Sent):
            raise Unfit(f"the sender failed: {sent}")
        return sent

    def _answer(self, within_s: float) -> object:
        if not self._pipe.poll(within_s):
            raise Unfit(f"nothing from the sender for {within_s:g} s")
        try:
            return self._pipe.recv()
        except EOFError:
            raise Unfit("the sender has ended") from None


@dataclass(frozen=True)
class Post:
    """What the process that sends has; made where it is started, so all of it can cross over."""

    pipe: Connection
    stopped: Any
    """An event: the plan is to be ended."""
    leave: Any
    """A number that is shared: no record from it on may be sent yet."""
    broker: str
    partitions: int
    make: Callable[[], Maker]

    def serve(self) -> None:
        """Carry out the plans that come through the pipe, until it is closed."""
        make = self.make()
        producer = Producer(
            {
                **client(self.broker),
                "linger.ms": 0,
                "acks": "all",
                "queue.buffering.max.messages": 2 * QUEUE_MAX,
                "delivery.report.only.error": True,
            }
        )
        producer.list_topics(timeout=30)  # connected before the first is due
        self.pipe.send(None)
        while True:
            try:
                plan = self.pipe.recv()
            except EOFError:
                return
            try:
                self.pipe.send(self.carry_out(plan, producer, make))
            except (KafkaException, BufferError) as error:
                self.pipe.send(repr(error))

    def carry_out(self, plan: Plan, producer: Producer, make: Maker) -> Sent:
        """Send each record when it is due, or at once if that has passed; a number's remainder is its partition."""
        least_s = BURST_S if plan.rate > ONE_BY_ONE else 0.0
        latest_s = 0.0
        number = plan.first
        while number < plan.stop and not self.stopped.is_set():
            ahead_s = plan.due_s(number) - time.monotonic()
            if ahead_s > 0 or number >= self.leave.value or len(producer) > QUEUE_MAX:
                producer.poll(0)
                time.sleep(max(ahead_s, least_s) if ahead_s > 0 else BURST_S)
                continue
            due = max(plan.due_by(time.monotonic()), number + 1)
            burst = range(number, min(due, number + BURST_MAX, plan.stop, self.leave.value))
            for offset in range(self.partitions):
                numbers = burst[offset :: self.partitions]
                messages = [{"key": key, "value": value} for key, value in map(make, numbers)]
                if messages:
                    partition = numbers.start % self.partitions
                    producer.produce_batch(plan.topic, messages, partition=partition, on_delivery=raise_error)
            latest_s = max(latest_s, time.monotonic() - plan.due_s(number))
            number = burst.stop
            producer.poll(0)
        producer.flush()
        return Sent(number - plan.first, latest_s)
