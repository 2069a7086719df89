"""A fitted model as ONNX, with the inputs that the contract's binding expects and probabilities as a plain tensor.

numbers alone     features [N, width] -----------------------------------> estimator -> probabilities
with categories   amount [N, 1] ----------------------------> concat ----> estimator -> probabilities
                  plan   [N, 1] of texts -> codes (labels) ----'
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import is_classifier
from sklearn.preprocessing import RobustScaler, StandardScaler

from app.errors import ConfigurationError
from app.training.float32 import SCALER_OPTIONS, Float32Scaler, parts_of
from app.training.layout import OTHER, is_category

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.features import Feature
    from app.training.codes import Vocabulary
    from app.training.fitting import Fitted
    from app.training.layout import Layout

OPSET = {"": 18, "ai.onnx.ml": 3}
MATRIX = "features"


def to_model(fitted: Fitted, layout: Layout) -> bytes:
    """*fitted* as an ONNX file, which is the same each time; ConfigurationError if skl2onnx cannot convert it."""
    contract, estimator = layout.contract, fitted.estimator
    options: dict[Any, Any] = {
        id(part): SCALER_OPTIONS
        for part in parts_of(estimator)
        if type(part) in (Float32Scaler, StandardScaler, RobustScaler)
    }
    if is_classifier(estimator):
        options[id(estimator)] = {"zipmap": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecations between skl2onnx, numpy and protobuf
            model = to_onnx(
                estimator,
                name=contract.name,
                initial_types=[(MATRIX, FloatTensorType([None, contract.width]))],
                options=options,
                target_opset=OPSET,
            )
    except Exception as error:  # skl2onnx raises a dozen types of its own
        raise ConfigurationError(
            f"skl2onnx cannot convert {type(estimator).__name__}: {_first_line(error)}; "
            "https://onnx.ai/sklearn-onnx/supported.html names what it can"
        ) from error
    if layout.categories:
        _put_before(model.graph, layout, fitted.vocabularies)
    _set_opsets(model, OPSET if layout.categories else {})
    if contract.classes:
        # The estimator was fitted on positions in the contract's classes: its own labels would mislead.
        helper.set_model_props(model, {"classes": json.dumps(contract.classes)})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]


def _set_opsets(model: Any, needed: dict[str, int]) -> None:
    """The versions of operators that *model* needs: skl2onnx's, which are the least for its own nodes, and *needed*.

    In order: skl2onnx's is that of a set, which is another in each process.
    """
    versions = {each.domain: each.version for each in model.opset_import} | needed
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*each) for each in sorted(versions.items()))


def _put_before(graph: Any, layout: Layout, vocabularies: tuple[Vocabulary, ...]) -> None:
    """Inputs by feature, texts to codes, and all side by side: what *graph* then begins with."""
    features = layout.contract.features
    _set_apart(graph, {feature.name for feature in features})
    matrix = graph.input[0].name
    remaining = iter(vocabularies)
    inputs, nodes, parts = [], [], []
    for at, feature in enumerate(features):
        inputs.append(helper.make_tensor_value_info(feature.name, _type(feature), [None, feature.width]))
        if not is_category(feature):
            parts.append(feature.name)
            continue
        parts.append(f"codes/{at}")
        nodes.append(_encoder(feature, next(remaining), parts[-1]))
    nodes.append(helper.make_node("Concat", parts, [matrix], name="side by side", axis=1))
    nodes += graph.node
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(inputs)


def _type(feature: Feature) -> int:
    """The tensor that *feature* comes in; all numbers as floats, which the binding makes of them."""
    if not is_category(feature):
        return int(TensorProto.FLOAT)
    return int(TensorProto.STRING if feature.dtype == "string" else TensorProto.INT64)


def _encoder(feature: Feature, vocabulary: Vocabulary, output: str) -> Any:
    """The node that makes codes of the values of *feature*."""
    keys: dict[str, Any]
    if feature.dtype == "string":
        # An operator without keys is not allowed; the one that stands in for none means OTHER as well.
        keys = {"keys_strings": list(vocabulary.values) or [""]}
    else:
        keys = {"keys_int64s": list(vocabulary.values) or [0]}
    codes = [float(code) for code in range(1, len(vocabulary.values) + 1)] or [float(OTHER)]
    return helper.make_node(
        "LabelEncoder", [feature.name], [output], name=f"encode/{output}", domain="ai.onnx.ml",
        values_floats=codes, default_float=float(OTHER), **keys,
    )  # fmt: skip


def _set_apart(graph: Any, taken: set[str]) -> None:
    """Other names for what is called like a feature inside *graph*, its outputs included: a name means one thing."""

    def apart(name: str) -> str:
        return f"model/{name}" if name in taken else name

    for each in _named(graph):
        each.name = apart(each.name)
    for node in graph.node:
        for names in (node.input, node.output):
            renamed = [apart(name) for name in names]
            del names[:]
            names.extend(renamed)


def _named(graph: Any) -> Iterator[Any]:
    for group in (graph.input, graph.output, graph.initializer, graph.value_info):
        yield from group
