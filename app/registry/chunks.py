"""A model's bytes in pieces that fit any broker's message limit, and back again.

The pieces stand on `<pipeline>.model-bytes` under `<sha256 of the whole model>/<index>`, index from 0. A key names
content, not a release: two releases of the same bytes may share their pieces.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from app.errors import Refusal, RejectedRelease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.records import Manifest

CHUNK_BYTES = 512 * 1024
"""Well below the 1 MiB that brokers and clients allow for a message unless told otherwise."""

DEFAULT_MAX_MODEL_BYTES = 256 * 1024 * 1024

SHA256_HEX_DIGITS = 64


def digest_of(data: bytes) -> str:
    """SHA-256 of *data* in lower-case hex.

    >>> digest_of(b"")[:16]
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(data).hexdigest()


def chunk_count(size: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Pieces that *size* bytes are cut into.

    >>> [chunk_count(size, 4) for size in (1, 4, 5)]
    [1, 1, 2]
    """
    return -(-size // chunk_bytes)


def split(data: bytes, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The pieces of *data* in order, each of *chunk_bytes* but for the last.

    >>> list(split(b"abcde", 2))
    [b'ab', b'cd', b'e']
    """
    for start in range(0, len(data), chunk_bytes):
        yield data[start : start + chunk_bytes]


def chunk_key(sha256: str, index: int) -> bytes:
    """The record key of piece *index*.

    >>> chunk_key("ab12", 3)
    b'ab12/3'
    """
    return f"{sha256}/{index}".encode()


def chunk_index(key: bytes | None, sha256: str) -> int | None:
    """The index that *key* gives, or None when it is no piece of the model *sha256*.

    >>> chunk_index(b"ab12/3", "ab12"), chunk_index(b"ab12/03", "ab12"), chunk_index(b"ff/3", "ab12")
    (3, None, None)
    """
    prefix = f"{sha256}/".encode()
    if key is None or not key.startswith(prefix):
        return None
    digits = key[len(prefix) :]
    if not digits.isdigit() or (len(digits) > 1 and digits.startswith(b"0")):
        return None
    return int(digits)


class ChunkCollector:
    """The pieces of one release, gathered from records in the order in which they stand on the topic.

    Never holds more than the manifest's `size` bytes, whatever the topic carries.
    """

    def __init__(self, manifest: Manifest, *, latest_wins: bool = False) -> None:
        self._manifest = manifest
        self.latest_wins = latest_wins
        self._pieces: dict[int, bytes] = {}
        self._held_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether every piece is there; with `latest_wins` a later record may still replace one."""
        return len(self._pieces) == self._manifest.chunks

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Take the record in if it is a piece of this release; a tombstone takes its piece away.

        Raises RejectedRelease WRONG_CHECKSUM when the pieces hold more bytes than the manifest says.
        """
        index = chunk_index(key, self._manifest.sha256)
        if index is None or index >= self._manifest.chunks:
            return
        if index in self._pieces:
            if not self.latest_wins:
                return
            self._held_bytes -= len(self._pieces.pop(index))
        if value is None:
            return
        if self._held_bytes + len(value) > self._manifest.size:
            raise RejectedRelease(
                Refusal.WRONG_CHECKSUM,
                f"version {self._manifest.version}: the chunks hold more than the {self._manifest.size} bytes of the "
                "manifest",
            )
        self._pieces[index] = value
        self._held_bytes += len(value)

    def join(self) -> bytes:
        """The whole model, its digest checked; the pieces are let go.

        Raises RejectedRelease MISSING_CHUNK (names the first that lacks and how many) or WRONG_CHECKSUM.
        """
        manifest = self._manifest
        if not self.complete:
            first = next(index for index in range(manifest.chunks) if index not in self._pieces)
            raise RejectedRelease(
                Refusal.MISSING_CHUNK,
                f"version {manifest.version}: {manifest.chunks - len(self._pieces)} of {manifest.chunks} chunks are "
                f"missing on the topic, the first is {manifest.sha256}/{first}",
            )
        whole = b"".join(self._pieces[index] for index in range(manifest.chunks))
        self._pieces.clear()
        self._held_bytes = 0
        verify(whole, manifest)
        return whole


def verify(whole: bytes, manifest: Manifest) -> None:
    """Raise RejectedRelease WRONG_CHECKSUM unless *whole* has the manifest's size and digest."""
    if len(whole) != manifest.size:
        raise RejectedRelease(
            Refusal.WRONG_CHECKSUM,
            f"version {manifest.version}: the chunks hold {len(whole)} bytes, the manifest says {manifest.size}",
        )
    digest = digest_of(whole)
    if digest != manifest.sha256:
        raise RejectedRelease(
            Refusal.WRONG_CHECKSUM,
            f"version {manifest.version}: the bytes have sha256 {digest}, the manifest says {manifest.sha256}",
        )
