"""Labels that wait until they are due: some in memory, the rest in a file, first in, first out."""

from __future__ import annotations

import tempfile
from collections import deque
from typing import IO, TYPE_CHECKING, NamedTuple, Self

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

MEMORY_MAX_BYTES = 16 << 20
_OVERHEAD_BYTES = 150
"""What Python takes for a label beside its bytes, about."""
_SIZE_BYTES = 8


class LabelBatch(NamedTuple):
    """Labels of one partition that are sent together."""

    due: float
    partition: int
    records: list[tuple[bytes | None, bytes]]
    """Key and value."""


class WaitingLabels:
    """A queue of label batches, in the order of being due; beyond *memory_max_bytes* they lie in a temporary file."""

    def __init__(self, *, memory_max_bytes: int = MEMORY_MAX_BYTES) -> None:
        self._memory_max_bytes = memory_max_bytes
        self._head: deque[LabelBatch] = deque()
        self._head_bytes = 0
        self._file: IO[bytes] | None = None
        self._read_at = self._write_at = 0
        self.n = 0
        """Labels that wait."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def spilled_bytes(self) -> int:
        """What lies in the file and was not read back."""
        return self._write_at - self._read_at

    def put(self, batch: LabelBatch) -> None:
        """Add a batch that is due no sooner than those before it."""
        self.n += len(batch.records)
        # As long as anything lies in the file, what comes later goes there too: order is kept.
        if self.spilled_bytes or self._head_bytes > self._memory_max_bytes:
            self._spill(batch)
        else:
            self._keep(batch)

    def take(self, until: float) -> LabelBatch | None:
        """The next batch if it is due at *until*; None else."""
        if not self._head and self.spilled_bytes:
            self._read_back()
        if not self._head or self._head[0].due > until:
            return None
        batch = self._head.popleft()
        self._head_bytes -= _bytes_of(batch)
        self.n -= len(batch.records)
        return batch

    @property
    def next_due(self) -> float | None:
        """When the next batch is due; None if none waits."""
        if not self._head and self.spilled_bytes:
            self._read_back()
        return self._head[0].due if self._head else None

    def _keep(self, batch: LabelBatch) -> None:
        self._head.append(batch)
        self._head_bytes += _bytes_of(batch)

    def _spill(self, batch: LabelBatch) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="faust-onnx-labels-")  # noqa: SIM115  # closed in __exit__
        packed = _encode(batch)
        self._file.seek(self._write_at)
        self._file.write(len(packed).to_bytes(_SIZE_BYTES) + packed)
        self._write_at += _SIZE_BYTES + len(packed)

    def _read_back(self) -> None:
        """Bring batches from the file into memory, until that is half full or the file is at its end."""
        if self._file is None:
            return
        self._file.seek(self._read_at)
        while self.spilled_bytes and self._head_bytes <= self._memory_max_bytes // 2:
            size = int.from_bytes(self._file.read(_SIZE_BYTES))
            self._keep(_decode(self._file.read(size)))
            self._read_at += _SIZE_BYTES + size
        if not self.spilled_bytes:
            self._file.seek(0)
            self._file.truncate()
            self._read_at = self._write_at = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LabelBatch).decode


def _bytes_of(batch: LabelBatch) -> int:
    return sum(len(key or b"") + len(value) + _OVERHEAD_BYTES for key, value in batch.records)
