"""From labelled cases to the two models of the pipeline `fraud`; run it to make the released files anew.

    python -m models.fraud.definition

Version 1 is deliberately weak: it sees the address of a site and nothing of its pages. Version 2 sees all nine
features. What each is worth on cases that it never saw stands in card.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from app.demo.phishing import FEATURES, Case, load_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.training.layout import Columns

ADDRESS_FEATURES = ("https", "long_url", "ip_in_url")
RELEASES = Path(__file__).with_name("releases")
OPSET = {"": 18, "ai.onnx.ml": 3}


def address_only() -> Pipeline:
    """Version 1: logistic regression on what the address alone tells."""
    columns = [FEATURES.index(name) for name in ADDRESS_FEATURES]
    return Pipeline(
        [
            ("address", ColumnTransformer([("keep", "passthrough", columns)])),
            ("classifier", LogisticRegression()),
        ]
    )


def all_features() -> Pipeline:
    """Version 2: boosted trees on all features; every feature is 0, 0.5 or 1, so float32 splits are exact."""
    return Pipeline([("classifier", GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=0))])


VERSIONS = {1: address_only, 2: all_features}


def candidates(columns: Columns) -> dict[str, Any]:  # noqa: ARG001  # the features are known here
    """What `faust-onnx model train --pipeline fraud` compares, in place of its built-in candidates."""
    return {"the address alone": address_only(), "all features": all_features()}


def train(version: int, cases: Sequence[Case]) -> Pipeline:
    """The pipeline of *version*, fitted on *cases*."""
    pipeline = VERSIONS[version]()
    pipeline.fit(matrix(cases), np.array([case.label for case in cases]))
    return pipeline


def matrix(cases: Sequence[Case]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The features of *cases*, float32, shape (n_cases, n_features)."""
    return np.array([case.features for case in cases], dtype=np.float32)


def to_model(pipeline: Pipeline) -> bytes:
    """*pipeline* as ONNX: one float input `features` (n, 9), probabilities as a plain (n, 2) tensor."""
    model = to_onnx(
        pipeline,
        initial_types=[("features", FloatTensorType([None, len(FEATURES)]))],
        options={"zipmap": False},
        target_opset=OPSET,
    )
    return bytes(model.SerializeToString())


def write_releases(folder: Path = RELEASES) -> list[Path]:
    """The files `<version>.onnx` in *folder*, trained anew on the training part of the data."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for version in VERSIONS:
        path = folder / f"{version}.onnx"
        path.write_bytes(to_model(train(version, load_cases().training)))
        written.append(path)
    return written


if __name__ == "__main__":
    for released in write_releases():
        print(f"{released.name}: {released.stat().st_size:,} bytes")  # noqa: T201 - a command-line report
