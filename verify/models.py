"""The bytes of releases, put together from their chunks and checked against their manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from verify.contract import parse_json
from verify.read import Record
from verify.timeline import Manifest


class ModelBytes:
    """Chunks of models, spooled into *folder* so that many large releases do not fill the memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks: dict[str, dict[int, Path]] = {}

    def take(self, records: Iterable[Record], wanted: set[str]) -> None:
        """Keep the chunks under `<sha256>/<chunk>` of the *wanted* digests; a later chunk replaces an earlier."""
        for record in records:
            sha256, _, number = (record.key or b"").decode("utf-8", "replace").partition("/")
            if sha256 not in wanted or not number.isdecimal():
                continue
            chunks = self._chunks.setdefault(sha256, {})
            if record.value is None:
                chunks.pop(int(number), None)
                continue
            path = self._folder / f"{hashlib.sha256(sha256.encode()).hexdigest()}.{int(number)}"
            path.write_bytes(record.value)
            chunks[int(number)] = path

    def whole(self, manifest: Manifest) -> bytes:
        """The model of *manifest*; ValueError says what is broken about its bytes."""
        chunks = self._chunks.get(manifest.sha256, {})
        if len(chunks) != manifest.chunks:
            raise ValueError(f"{len(chunks)} of {manifest.chunks} chunks are on the topic")
        model = b"".join(chunks[number].read_bytes() for number in sorted(chunks))
        if len(model) != manifest.size:
            raise ValueError(f"{len(model)} bytes instead of {manifest.size}")
        digest = hashlib.sha256(model).hexdigest()
        if digest != manifest.sha256:
            raise ValueError(f"sha256 is {digest} instead of {manifest.sha256}")
        return model


class Verdicts(NamedTuple):
    """What the workers said of each version on `model-events`."""

    accepted: set[int]
    refused: set[int]


def read_verdicts(records: Iterable[Record]) -> Verdicts:
    """The versions that any worker accepted, and those that any worker refused."""
    verdicts = Verdicts(set(), set())
    for record in records:
        try:
            event = parse_json(record.value or b"")
            version = event.get("version")
            if type(version) is not int:
                continue
            if event.get("event") == "accepted":
                verdicts.accepted.add(version)
            elif event.get("event") == "refused":
                verdicts.refused.add(version)
        except (ValueError, AttributeError):
            continue
    return verdicts
