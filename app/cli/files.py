"""Files as they are written: all of it or nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(target: Path, content: bytes, *, hint: str) -> None:
    """*content* in *target*, whose folder is made; ConfigurationError with *hint* if that cannot be."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f"{target.name}.new")
        new.write_bytes(content)
        os.replace(new, target)  # noqa: PTH105  # a file of that name is replaced in one step
    except OSError as error:
        raise ConfigurationError(f"{target}: cannot be written: {error.strerror}; {hint}") from None
