"""What the view needs to know, looked up in two places: the topics themselves and the worker's HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from app.features import Contract

RECENT_S = 10.0
"""Rates and latencies are over this long."""
_SAMPLE = 1_000
"""Of a partition that runs away faster than it can be read here, the last so many records are looked at."""
_HTTP_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class VersionFacts:
    """One version as `/api/performance` tells of it."""

    predicted: int = 0
    joined: int = 0
    accuracy_now: float | None = None
    accuracy_total: float | None = None


@dataclass(frozen=True)
class Facts:
    """What stands at one instant; counts are since the beginning of the topics."""

    events_in: int = 0
    predictions: int = 0
    labels: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    versions_seen: frozenset[int] = frozenset()
    """Versions that a prediction was seen of."""
    versions: dict[int, VersionFacts] = field(default_factory=dict)
    labels_joined: int = 0
    lag: int | None = None

    @property
    def open_events(self) -> int:
        """Feature records that have neither prediction nor dead letter yet."""
        return max(self.events_in - self.predictions - sum(self.dead_letters.values()), 0)


class _Answers(NamedTuple):
    """What the worker said last: per version by `/api/performance`, labels joined in all, lag by `/metrics`."""

    versions: dict[int, VersionFacts] = {}  # noqa: RUF012 - never changed, only replaced
    labels_joined: int = 0
    lag: int | None = None


class Watch:
    """Watches a pipeline: a consumer without a group on its outcomes, and the worker at *worker_url*."""

    def __init__(self, bootstrap: str, contract: Contract, *, partitions: int, worker_url: str) -> None:
        self._contract = contract
        self._topics = contract.topics
        self._partitions = partitions
        self._worker_url = worker_url
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=256 << 10
        )
        self._http: aiohttp.ClientSession | None = None
        self._latencies: deque[tuple[float, float]] = deque()
        self._dead: Counter[str] = Counter()
        self._seen: set[int] = set()
        self._answers = _Answers()

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_HTTP_TIMEOUT_S))
        await self._consumer.start()
        self._consumer.assign(self._all(self._topics.predictions) + self._all(self._topics.dead_letters))
        await self._consumer.seek_to_beginning()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()
        if self._http is not None:
            await self._http.close()

    async def look(self, *, now_s: float, versions: Collection[int]) -> Facts:
        """The facts at *now_s*; the worker is asked for *versions*, what it said last stays if it does not answer."""
        ends = await self._consumer.end_offsets(
            [
                partition
                for topic in (self._topics.features, self._topics.labels, self._topics.predictions)
                for partition in self._all(topic)
            ]
        )
        totals: Counter[str] = Counter()
        for partition, end in ends.items():
            totals[partition.topic] += end
        await self._read_outcomes(ends)
        try:
            self._answers = await self._ask(versions)
        except (aiohttp.ClientError, TimeoutError):
            # What was joined stays true, but nobody knows the lag of a worker that does not answer.
            self._answers = self._answers._replace(lag=None)
        while self._latencies and self._latencies[0][0] < now_s - RECENT_S:
            self._latencies.popleft()
        recent = [latency_s for _, latency_s in self._latencies]
        p50_s, p99_s = np.percentile(recent, [50, 99]).tolist() if recent else (None, None)
        return Facts(
            events_in=totals[self._topics.features],
            predictions=totals[self._topics.predictions],
            labels=totals[self._topics.labels],
            dead_letters=self._dead.copy(),
            latency_p50_s=p50_s,
            latency_p99_s=p99_s,
            versions_seen=frozenset(self._seen),
            versions=self._answers.versions,
            labels_joined=self._answers.labels_joined,
            lag=self._answers.lag,
        )

    def _all(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._partitions)]

    async def _read_outcomes(self, ends: dict[TopicPartition, int]) -> None:
        for partition in self._all(self._topics.predictions):
            if ends[partition] - await self._consumer.position(partition) > _SAMPLE:
                self._consumer.seek(partition, ends[partition] - _SAMPLE // 2)
        # Twice: the first answer holds what the client had fetched, the second what came meanwhile.
        for _ in range(2):
            batches = await self._consumer.getmany(timeout_ms=20, max_records=_SAMPLE * 2 * self._partitions)
            for partition, records in batches.items():
                for record in records:
                    if partition.topic == self._topics.predictions:
                        self._note_prediction(record)
                    else:
                        self._note_dead_letter(record)

    def _note_prediction(self, record: Any) -> None:
        prediction = _PREDICTIONS.decode(record.value)
        self._seen.add(prediction.version)
        self._latencies.append((prediction.scored_at, prediction.scored_at - record.timestamp / 1000))

    def _note_dead_letter(self, record: Any) -> None:
        headers = dict(record.headers)
        if headers.get("source-topic") == self._topics.features.encode():
            self._dead[headers.get("reason", b"?").decode()] += 1

    async def _ask(self, versions: Collection[int]) -> _Answers:
        *answers, metrics = await asyncio.gather(*(self._ask_version(version) for version in versions), self._metrics())
        facts: dict[int, VersionFacts] = {}
        joined = 0
        for version, answer in zip(versions, answers, strict=True):
            total, now = answer["total"], answer["now"]
            facts[version] = VersionFacts(
                total.get("predicted", 0), total.get("n", 0), now.get("accuracy"), total.get("accuracy")
            )
            joined = answer["labels"].get("joined", 0)
        return _Answers(facts, joined, features_lag(metrics, self._topics.features))

    async def _ask_version(self, version: int) -> Any:
        query = f"pipeline={self._contract.name}&version={version}&window={self._contract.windows_s[0]}"
        return msgspec.json.decode(await self._get(f"/api/performance?{query}"))

    async def _metrics(self) -> str:
        return (await self._get("/metrics")).decode()

    async def _get(self, path: str) -> bytes:
        if self._http is None:
            raise RuntimeError("the watch has not been entered")
        async with self._http.get(self._worker_url + path) as response:
            response.raise_for_status()
            return await response.read()


class _Prediction(msgspec.Struct):
    version: int
    scored_at: float


_PREDICTIONS = msgspec.json.Decoder(_Prediction)


def features_lag(metrics: str, topic: str) -> int | None:
    r"""Records of *topic* not yet consumed, summed over partitions, from a Prometheus page; None if it has none.

    >>> features_lag('faust_onnx_consumer_lag{partition="0",topic="f"} 3.0\nfaust_onnx_up 1.0\n', "f")
    3
    """
    lags = [
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("faust_onnx_consumer_lag{") and f'topic="{topic}"' in line
    ]
    return int(sum(lags)) if lags else None
