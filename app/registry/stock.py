"""Which releases are judged and which scorers are loaded, in the order in which they are needed."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from app.errors import RejectedRelease
from app.registry.shelf import IDLE_AFTER_S, Scorer, ScorerShelf
from app.registry.timeline import Undecided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.registry.admission import Admission
    from app.registry.audit import Audit
    from app.registry.loading import ModelLoader
    from app.registry.timeline import Timeline

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.3
_RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_LOADED_AHEAD = 2
"""Of what is in force from now on: the present version and the next."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong on this machine with a version, how often, and when (loop time) to try again."""

    text: str
    times: int
    retry_at_s: float


class ScorerStock(Generic[Scorer]):
    """Judges releases and loads scorers one at a time; *changed* is called when something has become known.

    A refusal is told to the timeline, for all workers come to the same one. Any other fault stays here: the version is
    tried again, and nothing else is served in its place.
    """

    def __init__(  # noqa: PLR0913 - the reader binds them in one place
        self,
        timeline: Timeline,
        loader: ModelLoader[Scorer],
        *,
        admission: Admission,
        audit: Audit,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.shelf: ScorerShelf[Scorer] = ScorerShelf()
        self._timeline = timeline
        self._loader = loader
        self._admission = admission
        self._audit = audit
        self._clock = clock
        self._changed = changed
        self._work = asyncio.Event()
        self._asked_at_s: dict[int, float] = {}
        self._unread: set[int] = set()
        """Releases to judge although nothing needs them yet: the newest, and those that came while we watched."""
        self._troubles: dict[int, Trouble] = {}

    def wake(self) -> None:
        """Look again at what is needed."""
        self._work.set()

    def admit(self, version: int) -> None:
        """A new release: refuse it by its manifest, or have it judged soon."""
        try:
            self._admission.judge(self._timeline.manifest(version))
        except RejectedRelease as refusal:
            self._refuse(version, refusal)
        else:
            self._unread.add(version)

    def only_newest(self) -> None:
        """Of the releases of the past only the newest is judged unasked: no activation may need the others."""
        self._unread = set(sorted(self._unread)[-1:])

    def ask(self, version: int) -> str:
        """Have *version* loaded or judged before others; why that is not done yet."""
        self._asked_at_s[version] = self._clock()
        self._work.set()
        trouble = self._troubles.get(version)
        return f"version {version} is being loaded" if trouble is None else trouble.text

    async def run(self) -> None:
        """Load what is needed, until cancelled."""
        while True:
            self._work.clear()
            version = next((version for version in self._wishes() if self._due(version)), None)
            if version is not None:
                await self._load(version)
                continue
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._work.wait()
            except TimeoutError:
                continue  # a retry may be due, or a turn may have come

    def _wishes(self) -> Iterator[int]:
        now_s = self._clock()
        self._asked_at_s = {v: at_s for v, at_s in self._asked_at_s.items() if now_s - at_s < IDLE_AFTER_S}
        coming = self._timeline.over(now_s, math.inf)
        soon = {answer.version for answer in coming[:_LOADED_AHEAD] if answer is not None}
        self.shelf.tidy(soon, now_s=now_s)
        for version in self._asked_at_s:
            if version not in self.shelf and version not in self._timeline.refused:
                yield version
        for answer in coming:
            if isinstance(answer, Undecided) or (
                answer is not None and answer.version in soon and answer.version not in self.shelf
            ):
                yield answer.version
        for version in sorted(self._unread, reverse=True):
            if version not in self._timeline.accepted:
                yield version

    def _due(self, version: int) -> bool:
        trouble = self._troubles.get(version)
        return trouble is None or asyncio.get_running_loop().time() >= trouble.retry_at_s

    async def _load(self, version: int) -> None:
        manifest = self._timeline.manifest(version)
        try:
            scorer = await self._loader.scorer_of(manifest, cached=self._may_use_cache(version))
        except RejectedRelease as refusal:
            if version in self._timeline.accepted:  # its bytes were pruned meanwhile; what was in force stays so
                self._note_trouble(version, f"version {version} was accepted, but cannot be had again: {refusal}")
            else:
                self._refuse(version, refusal)
        except Exception as error:  # noqa: BLE001 - a local fault must not become a refusal: peers may serve this version
            self._note_trouble(version, f"version {version} could not be loaded here: {error or repr(error)}")
        else:
            asked_at_s = self._asked_at_s.get(version, -math.inf)
            self.shelf.put(version, scorer, used_at_s=asked_at_s)
            self._troubles.pop(version, None)
            self._unread.discard(version)
            self._timeline.mark_accepted(version)
            self._audit.accepted(version)
        self._changed()

    def _refuse(self, version: int, refusal: RejectedRelease) -> None:
        self._troubles.pop(version, None)
        self._unread.discard(version)
        self._timeline.mark_refused(version, refusal)
        self._audit.refused(version, refusal)

    def _note_trouble(self, version: int, text: str) -> None:
        times = self._troubles[version].times + 1 if version in self._troubles else 1
        retry_at_s = asyncio.get_running_loop().time() + _RETRY_S[min(times, len(_RETRY_S)) - 1]
        self._troubles[version] = Trouble(text, times, retry_at_s)
        log.warning("%s", text)

    def _may_use_cache(self, version: int) -> bool:
        """Not when another release cuts the same bytes otherwise: a worker without the cache might refuse this one."""
        manifest = self._timeline.manifest(version)
        return all(
            release.manifest.chunks == manifest.chunks
            for release in self._timeline.releases.values()
            if release.manifest.sha256 == manifest.sha256
        )
