"""Writing releases and activations: no reader sees half a release, and an activation is read back to be sure of it."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.errors import BrokerError, ConfigurationError
from app.records import Activation, Manifest
from app.registry.chunks import CHUNK_BYTES, DEFAULT_MAX_MODEL_BYTES, chunk_count, chunk_key, digest_of, split
from app.registry.entries import activation_key, release_key
from app.registry.tail import TopicTail
from app.registry.timeline import LEAD_S, Timeline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from app.records import Topics

SLACK_S = 0.5
"""Added to the lead, for the way to the broker and for clocks that differ."""
_ATTEMPTS = 5
_REQUEST_TIMEOUT_S = 20.0
_VISIBLE_WITHIN_S = 20.0
_MAX_TRANSACTION_S = 900.0
"""The broker's default `transaction.max.timeout.ms`."""
_SLOWEST_UPLOAD_BYTES_PER_S = 1024 * 1024
_IN_FLIGHT_CHUNKS = 4


class Published(NamedTuple):
    """A release that stands on the topic, and the activation that was asked for with it."""

    manifest: Manifest
    activation: Activation | None


class _Now:
    """The publisher's clock: *now_s* at the beginning, then on with the event loop's."""

    def __init__(self, now_s: float) -> None:
        self._ahead_s = now_s - asyncio.get_running_loop().time()

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead_s


async def read_models(bootstrap: str, topics: Topics, pipeline: str) -> Timeline:
    """All that stands on the `models` topic now; which releases are good is not judged.

    Raises ConfigurationError when the topic does not exist, BrokerError when Kafka cannot be reached or somebody's
    transaction stays open on the topic.
    """
    timeline = Timeline(pipeline)
    try:
        async with await TopicTail(bootstrap, topics.models).open() as tail, asyncio.timeout(_VISIBLE_WITHIN_S):
            async for record in tail.until(await tail.high_watermark()):
                timeline.feed(record.offset, record.timestamp, record.key, record.value)
    except TimeoutError as error:
        raise BrokerError(
            f"{topics.models} could not be read to its end within {_VISIBLE_WITHIN_S:.0f} s: a transaction may be open "
            "on it; try again"
        ) from error
    except (KafkaError, OSError) as error:
        raise BrokerError(f"cannot read {topics.models} from {bootstrap}: {error!r}") from error
    return timeline


async def publish(  # noqa: PLR0913 - a release has that many facts
    bootstrap: str,
    topics: Topics,
    pipeline: str,
    model: bytes,
    *,
    author: str,
    now_s: float,
    version: int | None = None,
    note: str | None = None,
    contract_sha256: str | None = None,
    activate: bool = False,
    max_model_bytes: int = DEFAULT_MAX_MODEL_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> Published:
    """Write *model* as a release, the next free version unless one is given, in one transaction.

    With *activate* it takes effect as soon as the lead allows. *progress* is told the bytes written and all bytes.
    Raises ConfigurationError when the version is taken or the model's size is out of bounds, BrokerError when Kafka
    cannot be reached or refuses.
    """
    now = _Now(now_s)
    if not 0 < len(model) <= max_model_bytes:
        raise ConfigurationError(f"the model has {len(model)} bytes, allowed are 1 to {max_model_bytes}")
    timeline = await read_models(bootstrap, topics, pipeline)
    free = timeline.highest_version + 1
    if version is None:
        version = free
    elif version < 1:
        raise ConfigurationError(f"version {version} is not allowed: versions are 1, 2, 3, ...; next free is {free}")
    elif version in timeline.releases:
        raise ConfigurationError(f"version {version} exists; next free is {free}")
    manifest = Manifest(
        pipeline=pipeline,
        version=version,
        sha256=await asyncio.to_thread(digest_of, model),
        size=len(model),
        chunks=chunk_count(len(model)),
        created_at=now(),
        contract_sha256=contract_sha256,
        author=author,
        note=note,
    )
    manifest = await _write_release(bootstrap, topics, manifest, model, progress)
    standing = (await read_models(bootstrap, topics, pipeline)).manifest(version)
    if standing != manifest:
        raise BrokerError(
            f"version {version} was published by {standing.author} at the same moment and stands; publish again"
        )
    if not activate:
        return Published(manifest, None)
    return Published(
        manifest, await activate_version(bootstrap, topics, pipeline, version=version, author=author, now_s=now())
    )


async def activate_version(  # noqa: PLR0913 - an activation has that many facts
    bootstrap: str,
    topics: Topics,
    pipeline: str,
    *,
    version: int,
    author: str,
    now_s: float,
    at_s: float | None = None,
) -> Activation:
    """Have *version* in force from *at_s* on, or as soon as the lead allows; returns the activation that stands.

    It was read back: no other holds its sequence, and it kept the lead by the broker's clock. Raises ConfigurationError
    for an unknown version or an *at_s* that is too early, BrokerError when Kafka cannot be reached or refuses.
    """
    now = _Now(now_s)
    slack_s = SLACK_S
    for _ in range(_ATTEMPTS):
        timeline = await read_models(bootstrap, topics, pipeline)
        if version not in timeline.releases:
            known = ", ".join(str(known) for known in sorted(timeline.releases)) or "none"
            raise ConfigurationError(f"version {version} of {pipeline} does not exist; published are: {known}")
        earliest_s = now() + LEAD_S + slack_s
        if at_s is not None and at_s < earliest_s:
            raise ConfigurationError(
                f"an activation at {at_s:.3f} comes too late to be known everywhere: the earliest is {earliest_s:.3f}"
            )
        activation = Activation(
            sequence=timeline.highest_sequence + 1,
            version=version,
            effective_from_s=earliest_s if at_s is None else at_s,
            author=author,
        )
        offset = await _write_activation(bootstrap, topics, activation)
        stands = (await read_models(bootstrap, topics, pipeline)).standing(activation.sequence)
        if stands is None or stands.offset != offset:
            continue  # another publisher took the sequence
        if stands.on_time:
            return activation
        # The broker's clock is ahead of ours, or the way there was long: so much too late it was, and the way may be
        # longer the next time.
        slack_s += stands.recorded_at_s + LEAD_S - activation.effective_from_s + SLACK_S
    raise BrokerError(
        f"version {version} of {pipeline} could not be activated in {_ATTEMPTS} attempts: others kept taking the "
        "sequence, or the clocks of this machine and of the brokers drift apart; try again"
    )


async def _write_release(
    bootstrap: str,
    topics: Topics,
    manifest: Manifest,
    model: bytes,
    progress: Callable[[int, int], None] | None,
) -> Manifest:
    """The manifest as written, with the offset of its first chunk."""
    transaction_s = min(_MAX_TRANSACTION_S, 60 + manifest.size / _SLOWEST_UPLOAD_BYTES_PER_S)
    async with (
        _producer(
            bootstrap,
            transactional_id=f"{manifest.pipeline}-publisher-{uuid.uuid4()}",
            transaction_timeout_ms=int(transaction_s * 1000),
        ) as producer,
        producer.transaction(),
    ):
        first_chunk_offset = await _write_chunks(producer, topics.model_bytes, manifest, model, progress)
        manifest = msgspec.structs.replace(manifest, first_chunk_offset=first_chunk_offset)
        # Last, so that `models` is under an open transaction for a moment only: its readers cannot see past it.
        await producer.send_and_wait(
            topics.models, key=release_key(manifest.version), value=msgspec.json.encode(manifest), partition=0
        )
    return manifest


async def _write_chunks(
    producer: AIOKafkaProducer,
    topic: str,
    manifest: Manifest,
    model: bytes,
    progress: Callable[[int, int], None] | None,
) -> int:
    """The offset of the first chunk, once all are acknowledged."""
    first_offset = -1
    written = 0
    in_flight: list[tuple[asyncio.Future[object], int]] = []
    for index, chunk in enumerate(split(model)):
        future = await producer.send(topic, key=chunk_key(manifest.sha256, index), value=chunk, partition=0)
        in_flight.append((future, len(chunk)))
        while in_flight and (len(in_flight) >= _IN_FLIGHT_CHUNKS or index == manifest.chunks - 1):
            oldest, size = in_flight.pop(0)
            acknowledged = await oldest
            if written == 0:
                first_offset = acknowledged.offset  # type: ignore[attr-defined]
            written += size
            if progress is not None:
                progress(written, manifest.size)
    return first_offset


async def _write_activation(bootstrap: str, topics: Topics, activation: Activation) -> int:
    """The offset of the record."""
    async with _producer(bootstrap) as producer:
        written = await producer.send_and_wait(
            topics.models, key=activation_key(activation.sequence), value=msgspec.json.encode(activation), partition=0
        )
    return int(written.offset)


@asynccontextmanager
async def _producer(
    bootstrap: str, *, transactional_id: str | None = None, transaction_timeout_ms: int = 60_000
) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer; what Kafka refuses meanwhile is raised as BrokerError."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        request_timeout_ms=int(_REQUEST_TIMEOUT_S * 1000),
        max_batch_size=CHUNK_BYTES + 64 * 1024,
    )
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT_S):
            await producer.start()
        yield producer
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"cannot write to {bootstrap}: {error!r}") from error
    finally:
        await producer.stop()
