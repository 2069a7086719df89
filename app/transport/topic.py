"""A topic whose events carry whole batches, undecoded."""

from __future__ import annotations

from typing import Any

import faust


class BatchTopic(faust.Topic):  # type: ignore[misc]
    """A Faust topic that hands each agent `Batch` values instead of single messages."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            del propagate  # nothing is decoded here, so nothing can fail
            return self._create_event(None, message.value, None, message=message)

        self.decode = decode
