"""Points in time as people write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

EXAMPLE = "1767225600 or 2026-01-01T00:00:00Z"


def parse_time(text: str) -> float:
    """Epoch seconds from epoch seconds or ISO 8601; a time without an offset is UTC.

    Raises ValueError when *text* is neither.

    >>> parse_time("1970-01-02"), parse_time("86400.5"), parse_time("1970-01-01T02:00:00+02:00")
    (86400.0, 86400.5, 0.0)
    """
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        seconds = float(text)
        if not math.isfinite(seconds):
            raise ValueError(f"{text} is no point in time")
        return seconds
    # In a query `+` means a blank: who forgets to write %2B still gets the offset that was meant.
    at = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if "T" in text else text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
