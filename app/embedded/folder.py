"""The one folder that a broker writes to: its topics, its properties, its log, and what the JVM unpacks."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO, Self

from app.errors import EmbeddedKafkaError


class BrokerFolder:
    """A folder claimed by this process: no second broker can be started on it while this one lives."""

    def __init__(self, root: Path, *, temporary: bool) -> None:
        self.root = root
        self.temporary = temporary
        """True if the folder goes when its broker does."""
        self.data = root / "data"
        self.log = root / "broker.log"
        self.properties = root / "server.properties"
        self.unpacked = root / "unpacked"
        """Where Kafka unpacks its native libraries, instead of the system's folder for temporary files."""
        self._claim = _claim(root)
        # A killed broker could not remove its own.
        shutil.rmtree(self.unpacked, ignore_errors=True)
        self.unpacked.mkdir()

    @classmethod
    def at(cls, path: Path | None) -> Self:
        """The folder at *path*, made if need be; without a path a new one that is temporary.

        EmbeddedKafkaError if it cannot be made, or another broker is using it.
        """
        if path is None:
            return cls(Path(tempfile.mkdtemp(prefix="faust-onnx-kafka-")), temporary=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
            return cls(path.absolute(), temporary=False)
        except OSError as error:
            raise EmbeddedKafkaError(f"the data folder {path} cannot be used: {error}") from error

    @property
    def formatted(self) -> bool:
        """True if a broker has been here before."""
        return (self.data / "meta.properties").exists()

    def log_size(self) -> int:
        """Bytes logged so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def logged_since(self, position: int = 0) -> str:
        """What was logged from byte *position* on."""
        with self.log.open("rb") as file:
            file.seek(position)
            return file.read().decode(errors="replace")

    def release(self) -> None:
        """Let another broker use the folder."""
        self._claim.close()

    def remove(self) -> None:
        """Release and delete it, if it is temporary."""
        self.release()
        if self.temporary:
            shutil.rmtree(self.root, ignore_errors=True)


def _claim(root: Path) -> IO[str]:
    """A locked file; the lock ends when it is closed, at the latest with this process."""
    file = (root / "in-use.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise EmbeddedKafkaError(
            f"another embedded Kafka is using {root}: stop it, or give another data folder"
        ) from error
    return file
