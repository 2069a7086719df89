"""From a manifest to a scorer: bytes from disk or topic, then loaded in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic

from app.records import Manifest
from app.registry.chunks import verify
from app.registry.fetch import fetch_model
from app.registry.shelf import Scorer

if TYPE_CHECKING:
    from app.registry.cache import ModelCache

log = logging.getLogger(__name__)

Load = Callable[[bytes, Manifest], Scorer]
"""Makes a scorer of a model's bytes; raises RejectedRelease when no worker could use them."""


class ModelLoader(Generic[Scorer]):
    """Makes the scorer of a release; nothing of it blocks the event loop for long."""

    def __init__(self, bootstrap: str, topic: str, *, cache: ModelCache, load: Load[Scorer]) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._cache = cache
        self._load = load

    async def scorer_of(self, manifest: Manifest, *, cached: bool) -> Scorer:
        """The loaded release. *cached* permits the bytes on local disk.

        Raises RejectedRelease, the same for every worker; anything else is this machine's or the broker's trouble.
        """
        data = await asyncio.to_thread(self._cache.get, manifest.sha256) if cached else None
        if data is None:
            data = await fetch_model(self._bootstrap, self._topic, manifest)
            try:
                await asyncio.to_thread(self._cache.put, manifest.sha256, data)
            except OSError as error:  # without the cache a restart is slower, and nothing else
                log.warning("version %d is not cached on disk: %s", manifest.version, error)
        return await asyncio.to_thread(self._checked_load, data, manifest)

    def _checked_load(self, data: bytes, manifest: Manifest) -> Scorer:
        verify(data, manifest)
        return self._load(data, manifest)
