"""What every peer does with the bytes of its records: decode, matrix, score, encode. Only how they travel differs.

Numbers are packed as they are decoded, record by record: a batch that keeps a Python object for every number takes a
fifth longer for 30 numbers, and twice as long for 784.

    named   {"id", "feature_00", ..., "feature_29"}: one matrix, two classes
    mixed   {"id", eight numbers, four texts}: a column for each, two classes
    vector  {"id", "x": [784 numbers]}: one matrix, ten classes
    rows    an Arrow IPC stream of `id` and the columns of named, read with pyarrow: one matrix, two classes
"""

from __future__ import annotations

import operator
import os
import time
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Feeds = dict[str, np.ndarray]
    Decoded = tuple[list[str], Feeds]
    """The ids of records, and what the model takes of them."""

N_FEATURES = 30
FEATURES = tuple(f"feature_{index:02d}" for index in range(N_FEATURES))
NUMBERS = ("amount", "balance", "distance_km", "age_days", "hour", "speed", "visits", "items")
TEXTS = ("channel", "country", "device", "product")
N_PIXELS = 784
THRESHOLD = 0.5

Named: Any = msgspec.defstruct("Named", [("id", str), *((name, float) for name in FEATURES)], gc=False)
Mixed: Any = msgspec.defstruct(
    "Mixed", [("id", str), *((name, float) for name in NUMBERS), *((name, str) for name in TEXTS)], gc=False
)


class Vector(msgspec.Struct, gc=False):
    """A record of shape `vector`."""

    id: str
    x: list[float]


class Prediction(msgspec.Struct, gc=False):
    """The fields of the public prediction record, so that everybody writes the same bytes."""

    id: str
    model: str
    version: int
    prediction: int
    score: float
    event_at: float
    scored_at: float


class PredictionOfMany(msgspec.Struct, gc=False):
    """The same with a score for each of more than two classes."""

    id: str
    model: str
    version: int
    prediction: int
    scores: list[float]
    event_at: float
    scored_at: float


class Scoring:
    """A loaded model; `score` turns the values of records into the values of predictions."""

    def __init__(self, model: Path, shape: str = "named") -> None:
        """*shape*: `named`, `mixed`, `vector` or `rows`, as above."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(os.fspath(model), options, providers=["CPUExecutionProvider"])
        self._decode = DECODERS.get(shape, _named)
        self._encode = msgspec.json.Encoder().encode
        self._answer = _of_many if shape == "vector" else _of_two
        self._has_rows = shape == "rows"
        self.records_max = 16 if self._has_rows else 4000
        """How many records to take at once."""
        self._n_rows: list[int] = []

    def score(self, values: Sequence[bytes], timestamps_ms: Sequence[int]) -> list[bytes]:
        """One prediction, encoded, for each of *values* or of their rows; *timestamps_ms* are those of the records."""
        if self._has_rows:
            self._n_rows, ids, feeds = _rows(values)
            timestamps_ms = self.spread(timestamps_ms)
        else:
            ids, feeds = self._decode(values)
        (probabilities,) = self._session.run(["probabilities"], feeds)
        return [self._encode(prediction) for prediction in self._answer(ids, probabilities, timestamps_ms)]

    def spread(self, records: Sequence[Any]) -> Sequence[Any]:
        """Each of the *records* that were scored last as often as it has predictions."""
        if not self._has_rows:
            return records
        return [record for record, n in zip(records, self._n_rows, strict=True) for _ in range(n)]


_decode_named = msgspec.json.Decoder(Named).decode
_decode_mixed = msgspec.json.Decoder(Mixed).decode
_decode_vector = msgspec.json.Decoder(Vector).decode
_named_row = operator.attrgetter(*FEATURES)
_mixed_row = operator.attrgetter("id", *NUMBERS, *TEXTS)
_pack_named = Struct(f"{N_FEATURES}f").pack
_pack_vector = Struct(f"{N_PIXELS}f").pack


def _named(values: Sequence[bytes]) -> Decoded:
    ids, rows = [], []
    for value in values:
        event = _decode_named(value)
        ids.append(event.id)
        rows.append(_pack_named(*_named_row(event)))
    return ids, {"features": np.frombuffer(b"".join(rows), np.float32).reshape(-1, N_FEATURES)}


def _mixed(values: Sequence[bytes]) -> Decoded:
    ids, *columns = zip(*(_mixed_row(_decode_mixed(value)) for value in values), strict=True)
    numbers, texts = columns[: len(NUMBERS)], columns[len(NUMBERS) :]
    feeds = {name: np.array(cells, np.float32).reshape(-1, 1) for name, cells in zip(NUMBERS, numbers, strict=True)}
    feeds |= {name: np.array(cells, object).reshape(-1, 1) for name, cells in zip(TEXTS, texts, strict=True)}
    return list(ids), feeds


def _vector(values: Sequence[bytes]) -> Decoded:
    ids, rows = [], []
    for value in values:
        event = _decode_vector(value)
        ids.append(event.id)
        rows.append(_pack_vector(*event.x))
    return ids, {"features": np.frombuffer(b"".join(rows), np.float32).reshape(-1, N_PIXELS)}


def _rows(values: Sequence[bytes]) -> tuple[list[int], list[str], Feeds]:
    """How many rows each of *values* has, and what all of them have."""
    from pyarrow import ipc  # noqa: PLC0415 - the environment of the guests has none

    counts, ids, parts = [], [], []
    for value in values:
        table = ipc.open_stream(value).read_all()
        counts.append(table.num_rows)
        ids += table.column("id").to_pylist()
        matrix = np.empty((table.num_rows, N_FEATURES), np.float32)
        for at, name in enumerate(FEATURES):
            matrix[:, at] = table.column(name).to_numpy()
        parts.append(matrix)
    return counts, ids, {"features": np.concatenate(parts)}


DECODERS: dict[str, Callable[[Sequence[bytes]], Decoded]] = {"named": _named, "mixed": _mixed, "vector": _vector}


def _of_two(ids: list[str], probabilities: np.ndarray, timestamps_ms: Sequence[int]) -> list[Prediction]:
    scored_at = time.time()
    return [
        Prediction(id_, "bench", 1, int(score >= THRESHOLD), score, timestamp_ms / 1000, scored_at)
        for id_, score, timestamp_ms in zip(ids, probabilities[:, 1].tolist(), timestamps_ms, strict=True)
    ]


def _of_many(ids: list[str], probabilities: np.ndarray, timestamps_ms: Sequence[int]) -> list[PredictionOfMany]:
    best = probabilities.argmax(axis=1).tolist()
    scored_at = time.time()
    return [
        PredictionOfMany(id_, "bench", 1, prediction, scores, timestamp_ms / 1000, scored_at)
        for id_, prediction, scores, timestamp_ms in zip(ids, best, probabilities.tolist(), timestamps_ms, strict=True)
    ]
