"""The built-in candidates: a linear model and boosted trees. Few, fast, and such as convert to ONNX without a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from app.training.float32 import Float32Scaler

if TYPE_CHECKING:
    from app.training.layout import Columns


def candidates(columns: Columns) -> dict[str, Any]:
    """Unfitted estimators by the names that people are told."""
    if columns.task == "regression":
        return {
            "ridge regression": linear(columns, Ridge(random_state=columns.seed)),
            "gradient boosting": trees(columns),
        }
    # The default of 100 iterations is for well-scaled data; the fraud of a few is not.
    return {
        "logistic regression": linear(columns, LogisticRegression(max_iter=1_000)),
        "gradient boosting": trees(columns),
    }


def linear(columns: Columns, model: Any) -> Pipeline:
    """*model* on scaled numbers, where the median stands for what is missing, and on one column for each category.

    OTHER has a column as well, so that a value which was never seen is taken as the rare ones were.
    """
    numbers = Pipeline(
        [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", Float32Scaler())]
    )
    codes = [np.arange(n_codes, dtype=np.float32) for n_codes in columns.categories.values()]
    categories = OneHotEncoder(categories=codes, handle_unknown="ignore", dtype=np.float32)
    parts = [("numbers", numbers, list(columns.numbers)), ("categories", categories, list(columns.categories))]
    return Pipeline([("columns", ColumnTransformer([part for part in parts if part[2]])), ("model", model)])


def trees(columns: Columns) -> Pipeline:
    """Boosted trees on the columns as they are.

    They have a branch of their own for NaN; and a category is soon told from the others by its code, while a column for
    each would cost time and memory for each. Without early stopping, which would hold rows back.
    """
    kind = HistGradientBoostingRegressor if columns.task == "regression" else HistGradientBoostingClassifier
    return Pipeline([("model", kind(max_iter=100, early_stopping=False, random_state=columns.seed))])
