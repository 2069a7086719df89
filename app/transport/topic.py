"""A topic whose events carry whole batches, undecoded."""

from __future__ import annotations

from typing import Any

import faust


def deliver_undecoded(topic: Any) -> None:
    """Make *topic*, a Faust topic, hand over whole messages as they are: their value is a batch, not bytes."""

    async def decode(message: Any, *, propagate: bool = False) -> Any:
        del propagate  # nothing is decoded here, so nothing can fail
        return topic._create_event(None, message.value, None, message=message)  # noqa: SLF001

    topic.decode = decode


class BatchTopic(faust.Topic):  # type: ignore[misc]
    """A Faust topic that hands each agent `Batch` values instead of single messages."""

    def _compile_decode(self) -> None:
        deliver_undecoded(self)
