"""The bytes of one release, from the `model-bytes` topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from app.errors import BrokerError, RejectedRelease
from app.registry.chunks import ChunkCollector
from app.registry.tail import TopicTail

if TYPE_CHECKING:
    from app.records import Manifest

DEFAULT_STALL_S = 30.0


async def fetch_model(bootstrap: str, topic: str, manifest: Manifest, *, stall_s: float = DEFAULT_STALL_S) -> bytes:
    """The whole model that *manifest* describes, checked against its digest.

    Looks from the manifest's hint on, and if that does not lead to the model through the whole topic, where the latest
    record of a key counts, as it would after compaction. Raises RejectedRelease MISSING_CHUNK or WRONG_CHECKSUM only
    when all that stood on the topic was read, so that every worker comes to the same end; BrokerError when nothing came
    for *stall_s*, be it for an outage or for somebody's open transaction.
    """
    tail = await TopicTail(bootstrap, topic).open()
    async with tail:
        try:
            hint = manifest.first_chunk_offset
            if hint is not None:
                try:
                    return await _collect(tail, ChunkCollector(manifest), manifest, hint, stall_s)
                except RejectedRelease:
                    pass  # a copied topic has other offsets: the hint proves nothing
            return await _collect(tail, ChunkCollector(manifest, latest_wins=True), manifest, 0, stall_s)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerError(f"cannot read version {manifest.version} from {topic}: {error!r}") from error


async def _collect(
    tail: TopicTail, collector: ChunkCollector, manifest: Manifest, from_offset: int, stall_s: float
) -> bytes:
    # The high watermark: a transaction may be committed on `models` a moment before it is on `model-bytes`.
    end = await tail.high_watermark()
    tail.seek(min(from_offset, end))
    position = -1
    loop = asyncio.get_running_loop()
    moved_at = loop.time()
    while (reached := await tail.position()) < end:
        if reached != position:
            position, moved_at = reached, loop.time()
        elif loop.time() - moved_at > stall_s:
            raise BrokerError(
                f"version {manifest.version}: nothing came from {tail.topic} for {stall_s:.0f} s at offset {position} "
                f"of {end}: the broker is away, or a transaction is open there"
            )
        for record in await tail.poll(0.1):
            collector.add(record.key, record.value)
        if collector.complete and not collector.latest_wins:
            break
    return await asyncio.to_thread(collector.join)
