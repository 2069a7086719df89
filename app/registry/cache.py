"""Model bytes on local disk, one file per sha256, shared by the processes of a machine."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from app.registry.chunks import digest_of

DEFAULT_CACHE_BYTES = 2 * 1024 * 1024 * 1024
_ABANDONED_AFTER_S = 3600.0


class ModelCache:
    """The bytes of models by sha256 under *directory*, at most *max_bytes* together.

    A file appears whole or not at all (written beside, then renamed) and is checked against its name whenever it is
    read, so several processes may share the directory and a damaged file is fetched anew. The least recently read files
    go first; a reader that has one open keeps its bytes.
    """

    def __init__(self, directory: Path, *, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.directory = Path(directory)
        self.max_bytes = max_bytes

    def get(self, sha256: str) -> bytes | None:
        """The bytes with that digest, or None; a file that does not hold them is removed."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if digest_of(data) != sha256:
            path.unlink(missing_ok=True)
            return None
        with suppress(FileNotFoundError):  # another process may just have evicted it
            os.utime(path)
        return data

    def put(self, sha256: str, data: bytes) -> None:
        """Keep *data*, whose digest is *sha256*, and evict what no longer fits; OSError when the disk refuses.

        Bytes larger than the whole cache are not kept.
        """
        if len(data) > self.max_bytes:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".incoming-", dir=self.directory)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            now_s = partial.stat().st_mtime  # the file system's clock, which the other files were stamped by
            partial.replace(self._path(sha256))
        finally:
            partial.unlink(missing_ok=True)
        self._evict(keep=sha256, now_s=now_s)

    def _path(self, sha256: str) -> Path:
        return self.directory / f"{sha256}.onnx"

    def _evict(self, *, keep: str, now_s: float) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self.directory.iterdir():
            try:
                stat = path.stat()
            except FileNotFoundError:  # evicted by another process meanwhile
                continue
            if path.name.startswith(".incoming-"):
                if now_s - stat.st_mtime > _ABANDONED_AFTER_S:
                    path.unlink(missing_ok=True)
            elif path.suffix == ".onnx":
                files.append((stat.st_mtime, stat.st_size, path))
        excess = sum(size for _, size, _ in files) - self.max_bytes
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            if path != self._path(keep):
                path.unlink(missing_ok=True)
                excess -= size
