"""Dead letters: the original key and bytes, with headers that say why and where from."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from app.features.decoded import WHOLE
from app.records import OutRecord

if TYPE_CHECKING:
    from app.errors import Reason
    from app.records import Record

COPY_MAX_BYTES = 960 * 1024
"""Key and value of a dead letter together: with its headers it still fits Kafka's default of 1 MiB a batch."""
ERROR_MAX_CHARS = 500


def dead_letter(  # noqa: PLR0913 - what a letter tells
    record: Record,
    reason: Reason,
    error: str,
    *,
    failed_at_s: float,
    row: int = WHOLE,
    value: bytes | None = None,
    max_bytes: int = COPY_MAX_BYTES,
) -> OutRecord:
    """The dead letter of *record*, or of a *row* of it whose own bytes are *value*, with its Kafka timestamp.

    error: becomes ASCII (other characters backslash-escaped) of at most 500 characters.
    max_bytes: the most that key and value may take together. What is larger is cut, the value first, and headers
    `truncated`, `size` and `sha256` then tell the size and digest of the whole value. A row without a value is cut to
    nothing, and they tell of the whole record.
    """
    key, whole = record.key, record.value if row == WHOLE or value is None else value
    value = whole if row == WHOLE else value
    is_cut = row != WHOLE and value is None
    headers = [
        ("reason", reason.value.encode()),
        ("error", ascii_text(error)),
        ("source-topic", record.topic.encode()),
        ("source-partition", b"%d" % record.partition),
        ("source-offset", b"%d" % record.offset),
        *([] if row == WHOLE else [("source-row", b"%d" % row)]),
        ("failed-at", repr(failed_at_s).encode()),
    ]
    if is_cut or len(key or b"") + len(value or b"") > max_bytes:
        headers += [
            ("truncated", b"true"),
            ("size", b"%d" % len(whole or b"")),
            ("sha256", _digest(whole or b"")),
        ]
        # A key beyond all measure must not make a letter that no broker takes: the partition would stand still.
        key = key[:max_bytes] if key is not None else None
        value = value[: max_bytes - len(key or b"")] if value is not None else b"" if is_cut else None
    return OutRecord(key, value, record.timestamp, headers)


@lru_cache(maxsize=1)
def _digest(whole: bytes) -> bytes:
    """SHA-256 in hex; asked for again and again where many rows of one record are cut."""
    return hashlib.sha256(whole).hexdigest().encode()


def ascii_text(text: str, *, max_chars: int = ERROR_MAX_CHARS) -> bytes:
    r"""*text* as one line of printable ASCII, cut to *max_chars*.

    >>> ascii_text("größer\nals")
    b'gr\\xf6\\xdfer\\nals'
    """
    escaped = text.encode("unicode_escape").decode()
    return (escaped if len(escaped) <= max_chars else f"{escaped[: max_chars - 3]}...").encode()
