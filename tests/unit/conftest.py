"""What unit tests of the stages share: contracts from TOML text, records from JSON, and real models made once."""

# ruff: noqa: PLC0415 - scikit-learn takes a second to import, which only tests with models shall pay

from __future__ import annotations

import json
import os
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.features import Contract
from tests.makers import Given


@pytest.fixture
def bare_folder(tmp_path, monkeypatch):
    """An empty folder in which a command is run, wide enough for its tables and without settings of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("FAUST_ONNX_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def make_record():
    """Makes records: a dict becomes JSON, bytes and None stay; keywords set the other fields."""

    def make(value, *, topic="toy.features", offset=17, **fields):
        value = json.dumps(value).encode() if isinstance(value, dict) else value
        return Given(value, topic=topic, offset=offset, **fields)

    return make


BASE = {"name": '"toy"', "task": '"binary"', "classes": '["no", "yes"]', "label_horizon_s": "60"}


@pytest.fixture
def make_contract(tmp_path):
    """Makes contracts `toy` of features (TOML inline tables); keywords are TOML values, None leaves a key out."""

    def make(*features: str, **keys: str | None) -> Contract:
        known = {**BASE, **({"classes": None} if keys.get("task") == '"regression"' else {}), **keys}
        lines = [f"{key} = {value}" for key, value in known.items() if value is not None]
        path = tmp_path / "contract.toml"
        path.write_text("\n".join([*lines, f"features = [{', '.join(features)}]"]), encoding="utf-8")
        return Contract.load(path)

    return make


@pytest.fixture(scope="session")
def models():
    """Real models, each made when first asked for: `.onnx` bytes, the scikit-learn `.estimator`, and its rows `.x`."""
    return SimpleNamespace(
        boosting=_boosting,
        scaled_boosting=_scaled_boosting,
        string_columns=_string_columns,
        zipmap=_zipmap,
        multiclass=_multiclass,
        regressor=_regressor,
        vector=_vector,
        graph=_graph,
    )


def _rows(n_columns: int) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(7)
    return rng.normal(size=(400, n_columns)).astype(np.float32), rng


@cache
def _boosting() -> Any:
    """100 trees on 6 floats; classes 0 and 1; label and probabilities as tensors."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier

    x, _ = _rows(6)
    model = GradientBoostingClassifier(n_estimators=100, max_depth=2).fit(
        x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    )
    onnx = to_onnx(model, x[:1], options={id(model): {"zipmap": False}})
    return SimpleNamespace(onnx=onnx.SerializeToString(), estimator=model, x=x)


@cache
def _scaled_boosting() -> Any:
    """A StandardScaler before trees; without `div` its float32 rounding would flip splits."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, _ = _rows(4)
    x = np.round(x * 100) + 1000
    scaler, trees = StandardScaler(), GradientBoostingClassifier(n_estimators=20)
    model = make_pipeline(scaler, trees).fit(x, np.where(x[:, 0] > x[:, 1], "yes", "no"))
    onnx = to_onnx(model, x[:1], options={id(scaler): {"div": "div"}, id(model): {"zipmap": False}})
    return SimpleNamespace(onnx=onnx.SerializeToString(), estimator=model, x=x)


@cache
def _string_columns() -> Any:
    """A ColumnTransformer over `amount` (float), `country` (string) and `visits` (int): one tensor per column."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    floats, rng = _rows(1)
    country = rng.choice(["DE", "FR", "Österreich"], len(floats))
    visits = rng.integers(0, 9, len(floats))
    x = np.array([[float(f), c, int(v)] for f, c, v in zip(floats[:, 0], country, visits, strict=True)], dtype=object)
    y = np.where(floats[:, 0] + (country == "FR") + visits / 9 > 1, "yes", "no")
    columns = ColumnTransformer(
        [("numbers", "passthrough", [0, 2]), ("country", OneHotEncoder(handle_unknown="ignore"), [1])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(x, y)
    types = [
        ("amount", FloatTensorType([None, 1])),
        ("country", StringTensorType([None, 1])),
        ("visits", Int64TensorType([None, 1])),
    ]
    onnx = convert_sklearn(model, initial_types=types, options={id(model): {"zipmap": False}})
    return SimpleNamespace(onnx=onnx.SerializeToString(), estimator=model, x=x)


@cache
def _zipmap() -> Any:
    """A classifier of `yes` and `no` on 3 floats whose probabilities come as a list of {class: probability}."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    x, _ = _rows(3)
    model = LogisticRegression().fit(x, np.where(x[:, 0] > 0.3, "yes", "no"))
    return SimpleNamespace(onnx=to_onnx(model, x[:1]).SerializeToString(), estimator=model, x=x)


@cache
def _multiclass() -> Any:
    """Three classes whose sorted order (the model's) is not their natural one: high, low, medium."""
    from skl2onnx import to_onnx
    from sklearn.tree import DecisionTreeClassifier

    x, _ = _rows(2)
    y = np.array(["low", "medium", "high"])[np.digitize(x[:, 0], [-0.5, 0.5])]
    model = DecisionTreeClassifier(max_depth=3).fit(x + x[::-1] / 9, y)
    onnx = to_onnx(model, x[:1], options={id(model): {"zipmap": False}})
    return SimpleNamespace(onnx=onnx.SerializeToString(), estimator=model, x=x)


@cache
def _regressor() -> Any:
    """A regression on 3 floats; its output is [N, 1]."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    x, _ = _rows(3)
    model = LinearRegression().fit(x, x @ [1.5, -2, 0.25] + 10)
    return SimpleNamespace(onnx=to_onnx(model, x[:1]).SerializeToString(), estimator=model, x=x)


@cache
def _vector() -> Any:
    """A float `age` and a vector of 4, `embedding`, as two inputs [N, 1] and [N, 4]."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    x, _ = _rows(5)
    columns = ColumnTransformer([("age", "passthrough", [0]), ("embedding", "passthrough", [1, 2, 3, 4])])
    model = make_pipeline(columns, LogisticRegression()).fit(x, x @ [1, 2, 0, -1, 1] > 0)
    types = [("age", FloatTensorType([None, 1])), ("embedding", FloatTensorType([None, 4]))]
    onnx = convert_sklearn(model, initial_types=types, options={id(model): {"zipmap": False}})
    return SimpleNamespace(onnx=onnx.SerializeToString(), estimator=model, x=x)


def _graph(nodes, inputs, outputs, *, constants=None, metadata=None) -> bytes:
    """A hand-made model: *nodes* are (operator, inputs, outputs, attributes), in- and outputs {name: (type, shape)}."""
    from onnx import TensorProto, helper, numpy_helper

    def infos(described):
        return [
            helper.make_tensor_value_info(name, getattr(TensorProto, type_), shape)
            for name, (type_, shape) in described.items()
        ]

    graph = helper.make_graph(
        [helper.make_node(operator, taken, made, **attributes) for operator, taken, made, attributes in nodes],
        "g",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()
