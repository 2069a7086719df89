"""The numbers of one record as bytes, without gaps: what a numpy array of many records is made of."""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.features.contract import Feature

    Pack = Callable[..., bytes]

PACKED: dict[str, tuple[str, Any]] = {
    "float": ("f", np.float32),
    "vector": ("f", np.float32),
    "int": ("q", np.int64),
    "bool": ("?", np.bool_),
}
"""For each dtype that is packed, all but strings: its letter for `struct`, and its numpy type."""
REFUSALS = (struct.error, TypeError)
"""What a packer raises on None instead of a number, or of a vector."""


def packer(features: Sequence[Feature]) -> Pack:
    """What packs a value per feature, in this order.

    An element of a vector that is beyond float32 becomes infinite.
    """
    runs: list[list[Feature]] = []
    for feature in features:
        if runs and feature.dtype != "vector" and runs[-1][-1].dtype != "vector":
            runs[-1].append(feature)
        else:
            runs.append([feature])
    parts: list[tuple[Callable[[Any], Any], Pack]] = []
    start = 0
    for run in runs:
        parts.append((itemgetter(slice(start, start + len(run))), _run_packer(run)))
        start += len(run)
    if len(parts) == 1:
        return parts[0][1]
    return lambda *values: b"".join([pack(*of_run(values)) for of_run, pack in parts])


def _run_packer(run: Sequence[Feature]) -> Pack:
    """What packs one vector, or numbers of which none is a vector."""
    letters = "".join(PACKED[feature.dtype][0] * feature.width for feature in run)
    # The machine's own order is faster, and has no gaps where all are alike.
    pack = struct.Struct(f"{len(letters)}f" if set(letters) == {"f"} else f"={letters}").pack
    if run[0].dtype != "vector":
        return pack
    return lambda vector: pack(*vector)
