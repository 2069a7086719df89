"""The kinds of values that settings take."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, ByteSize, Field


class Must(NamedTuple):
    """What a value has to be, in words that complete "must be ..."; stands in the metadata of a setting's type."""

    be: str


def _no_bool(value: Any) -> Any:
    """*value*, unless it is a boolean, which pydantic would take for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")  # noqa: TRY004  # pydantic turns ValueError alone into its own error
    return value


Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1), Must("a whole number of at least 1")]
Seconds = Annotated[
    float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False), Must("a number of seconds above 0")
]
Size = Annotated[
    ByteSize, BeforeValidator(_no_bool), Field(ge=1), Must("a number of bytes of at least 1, or a size such as 32MiB")
]


def split_address(text: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """The host and port of `host:port`; the host of an IPv6 address stands in brackets, as in a URL.

    Raises ValueError when *text* is anything else.

    >>> split_address("[::1]:8080")
    ('::1', 8080)
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:/\[\],]+)):(\d{1,5})", text)
    if match is None or not lowest_port <= int(match[3]) <= 65_535:  # noqa: PLR2004  # the highest port there is
        raise ValueError("not host:port")
    return match[1] or match[2], int(match[3])
