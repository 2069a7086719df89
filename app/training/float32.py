"""What makes scikit-learn decide as ONNX does: all that a float32 input is compared with or shifted by is float32 too.

A tree's threshold lies between two training values, as a float64. Rounded to float32, as ONNX has it, it may become the
upper one of them, and rows that have that value then go the other way:

    values   a         b          x <= t sends b to the right
    t                 t           float32(t) = b sends b to the left

Since inputs are float32, `x <= t` says the same as `x <= the greatest float32 that is not above t`. So thresholds are
set to that: the model answers as before, and loses nothing in ONNX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.operator_converters.scaler_op import convert_sklearn_scaler
from skl2onnx.shape_calculators.scaler import calculate_sklearn_scaler_output_shapes
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt


class Float32Scaler(StandardScaler):  # type: ignore[misc]  # scikit-learn is untyped
    """A StandardScaler whose means and deviations are float32, so that ONNX scales to the very same numbers.

    Where the mean is large and the deviation small, as of times in epoch seconds, rounding the mean for ONNX alone
    would shift all rows.
    """

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None) -> Float32Scaler:
        """As StandardScaler has it."""
        super().fit(x, y, sample_weight)
        fitted: Any = self
        fitted.mean_ = fitted.mean_.astype(np.float32).astype(np.float64)
        # One of denormal size could be divided by in one runtime and not in the other.
        scale = np.maximum(fitted.scale_, np.finfo(np.float32).tiny)
        fitted.scale_ = scale.astype(np.float32).astype(np.float64)
        return self


# Division, as scikit-learn does it; a multiplication with the reciprocal rounds differently.
SCALER_OPTIONS = {"div": "div"}
update_registered_converter(
    Float32Scaler,
    "FaustOnnxFloat32Scaler",
    calculate_sklearn_scaler_output_shapes,
    convert_sklearn_scaler,
    options={"div": ["std", "div", "div_cast"]},
)


def with_float32_thresholds(estimator: Any) -> Any:
    """*estimator*, fitted, with the thresholds of all its trees as float32; it answers float32 rows as before."""
    for thresholds in _thresholds(estimator):
        thresholds[...] = floor32(thresholds)
    return estimator


def floor32(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each of *numbers*, any shape, the greatest float32 that is not above it.

    >>> floor32(np.array([0.5, 0.1, -0.1])).tolist()
    [0.5, 0.09999999403953552, -0.10000000149011612]
    """
    with np.errstate(over="ignore"):
        rounded = np.asarray(numbers, np.float32)
    above = rounded.astype(np.float64) > numbers
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded.astype(np.float64)


def parts_of(estimator: Any) -> Iterator[Any]:
    """*estimator* and all that it is made of: steps of pipelines, transformers of columns, members of ensembles."""
    if estimator is None or isinstance(estimator, str):
        return
    yield estimator
    inner: list[Any] = [step for _, step in getattr(estimator, "steps", ())]
    inner += [each[1] for each in getattr(estimator, "transformers_", ())]
    inner += list(getattr(estimator, "named_estimators_", {}).values())
    members = getattr(estimator, "estimators_", None)
    if members is not None and not inner:
        inner += list(np.ravel(np.array(members, object)))
    inner += [getattr(estimator, name, None) for name in ("estimator_", "regressor_", "classifier_")]
    for each in inner:
        yield from parts_of(each)


def _thresholds(estimator: Any) -> Iterator[npt.NDArray[np.float64]]:
    for part in parts_of(estimator):
        if hasattr(part, "tree_"):
            yield part.tree_.threshold
        for predictors in getattr(part, "_predictors", ()):
            for predictor in predictors:
                yield predictor.nodes["num_threshold"]
