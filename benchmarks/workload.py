"""The work that everybody does: 30 named numbers as JSON, 100 boosted trees."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier

from app.embedded.fetch import cache_dir
from benchmarks.peers.scoring import FEATURES, N_FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N_TREES = 100
N_DISTINCT = 20_000
"""Distinct rows of features; ids are distinct for every record."""
N_KEYS = 1000
SEED = 7


def trained_model() -> Path:
    """The ONNX file of the model, about 55 kB; trained at the first call and cached."""
    recipe = f"{sklearn.__version__} {N_FEATURES} {N_TREES} {SEED}"
    path = cache_dir() / f"bench-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.onnx"
    if not path.exists():
        rows, classes = _rows(4000)
        model = GradientBoostingClassifier(n_estimators=N_TREES, random_state=SEED).fit(rows, classes)
        inputs = [("features", FloatTensorType([None, N_FEATURES]))]
        onnx = to_onnx(model, initial_types=inputs, options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(onnx.SerializeToString())
        part.replace(path)
    return path


def contract(pipeline: str, features_topic: str, *, label_horizon_s: int = 3600) -> str:
    """The contract.toml of *pipeline* on this work."""
    lines = [
        f'name = "{pipeline}"',
        'task = "binary"',
        "classes = [0, 1]",
        "positive = 1",
        'id_field = "id"',
        f"label_horizon_s = {label_horizon_s}",
        "windows_s = [60, 3600]",
        f'topics.features = "{features_topic}"',
    ]
    for name in FEATURES:
        lines += ["[[features]]", f'name = "{name}"', 'dtype = "float"']
    return "\n".join(lines) + "\n"


def record_maker() -> Callable[[int], tuple[bytes, bytes]]:
    """A function from a record's number to its key and value; the id in it is `e-<number>`."""
    rows, _ = _rows(N_DISTINCT)
    encode = msgspec.json.encode
    tails = [encode(dict(zip(FEATURES, row, strict=True)))[1:] for row in np.round(rows.astype(float), 4).tolist()]
    keys = [b"account-%d" % number for number in range(N_KEYS)]

    def make(number: int) -> tuple[bytes, bytes]:
        return keys[number % N_KEYS], b'{"id":"e-%d",%s' % (number, tails[number % N_DISTINCT])

    return make


def _rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic cases, features float32 of shape (n, 30) and classes of shape (n,)."""
    rows, classes = make_classification(n, N_FEATURES, n_informative=15, random_state=SEED)
    return rows.astype(np.float32), classes
