"""What every peer does with the bytes of its records: decode, matrix, score, encode. Only how they travel differs."""

from __future__ import annotations

import operator
import os
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

N_FEATURES = 30
FEATURES = tuple(f"feature_{index:02d}" for index in range(N_FEATURES))
THRESHOLD = 0.5

Event = msgspec.defstruct("Event", [("id", str), *((name, float) for name in FEATURES)], gc=False)


class Prediction(msgspec.Struct, gc=False):
    """The fields of the public prediction record, so that everybody writes the same bytes."""

    id: str
    model: str
    version: int
    prediction: int
    score: float
    event_at: float
    scored_at: float


class Scoring:
    """A loaded model; `score` turns the values of records into the values of predictions."""

    def __init__(self, model: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(os.fspath(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(Event).decode
        self._encode = msgspec.json.Encoder().encode
        self._row = operator.attrgetter(*FEATURES)

    def score(self, values: Sequence[bytes], timestamps_ms: Sequence[int]) -> list[bytes]:
        """One prediction, encoded, for each of *values*; *timestamps_ms* are those of the records."""
        events = [self._decode(value) for value in values]
        cells = chain.from_iterable(map(self._row, events))
        matrix = np.fromiter(cells, np.float32, len(events) * N_FEATURES).reshape(-1, N_FEATURES)
        scores = self._session.run(["probabilities"], {self._input: matrix})[0][:, 1].tolist()
        scored_at = time.time()
        return [
            self._encode(
                Prediction(event.id, "bench", 1, int(score >= THRESHOLD), score, timestamp_ms / 1000, scored_at)
            )
            for event, score, timestamp_ms in zip(events, scores, timestamps_ms, strict=True)
        ]
