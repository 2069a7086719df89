"""What held-out rows look like beside the answers: curves, calibration, confusion, predicted and actual, importance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.features import class_key
from app.training.metrics import confusion_of
from app.training.svg import ACCENT, GRID, INK, REST, Drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from app.features import Contract
    from app.training.importance import Importance

    Numbers = npt.NDArray[np.float64]

POINTS_MAX = 200
"""Of a curve."""
DOTS_MAX = 500
"""Of a cloud of rows."""
BARS_MAX = 20
CLASSES_MAX = 25
_LEFT, _TOP, _SIDE = 56, 34, 260


def plots_of(
    contract: Contract, y: npt.NDArray[Any], numbers: Numbers, importances: Sequence[Importance], loss: str
) -> dict[str, str]:
    """The plots of held-out rows, as SVG by name.

    y, numbers: labels and answers as `metrics` has them; loss: what importance is measured in, for people.
    """
    plots = {}
    if contract.task == "regression":
        plots["predicted"] = predicted(y, numbers)
    else:
        if contract.positive_index is not None:
            is_positive, score = y == contract.positive_index, numbers[:, contract.positive_index]
            if 0 < is_positive.sum() < len(y):
                plots["curves"] = curves(is_positive, score)
            plots["calibration"] = calibration(is_positive, score)
        if len(contract.classes) <= CLASSES_MAX:
            plots["confusion"] = confusion(contract, y, numbers)
    plots["importance"] = bars(importances[:BARS_MAX], loss)
    return plots


def curves(is_positive: npt.NDArray[np.bool_], score: Numbers) -> str:
    """The ROC curve, and precision over recall."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(is_positive[order])
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # equal scores are decided together
    n_said, n_hits = ends + 1, hits[ends]
    n_positive = int(hits[-1])
    recall = np.concatenate([[0.0], n_hits / n_positive])
    false_rate = np.concatenate([[0.0], (n_said - n_hits) / (len(score) - n_positive)])
    precision = n_hits / n_said
    drawing = Drawing(
        2 * (_LEFT + _SIDE) + 20, _TOP + _SIDE + 46, "ROC curve, and precision over recall; held-out rows"
    )
    roc = _panel(drawing, 0, ("false positive rate", "true positive rate"))
    drawing.line([roc(0, 0), roc(1, 1)], colour=REST, dash="4 4")
    drawing.line([roc(*at) for at in _thinned(false_rate, recall)], colour=ACCENT, width=2)
    share = n_positive / len(score)
    right = _panel(drawing, _LEFT + _SIDE, ("recall", "precision"))
    drawing.line([right(0, share), right(1, share)], colour=REST, dash="4 4")
    drawing.line([right(*at) for at in _thinned(recall[1:], precision)], colour=ACCENT, width=2)
    return drawing.svg()


def calibration(is_positive: npt.NDArray[np.bool_], score: Numbers, *, n_bins: int = 10) -> str:
    """The share of positives among rows of about equal score, against that score; each dot has as many rows."""
    drawing = Drawing(_LEFT + _SIDE + 20, _TOP + _SIDE + 46, "Calibration; held-out rows")
    at = _panel(drawing, 0, ("mean score of a tenth of the rows", "positive among them"))
    drawing.line([at(0, 0), at(1, 1)], colour=REST, dash="4 4")
    points = [
        (float(score[part].mean()), float(is_positive[part].mean()))
        for part in np.array_split(np.argsort(score, kind="stable"), n_bins)
        if len(part)
    ]
    drawing.line([at(*point) for point in points], colour=ACCENT)
    for point in points:
        drawing.dot(*at(*point))
    return drawing.svg()


def confusion(contract: Contract, y: npt.NDArray[Any], numbers: Numbers) -> str:
    """How many rows of each class were said to be of which."""
    counts = confusion_of(contract, y, numbers)
    names = [_cut(class_key(value), 16) for value in contract.classes]
    side = max(28.0, min(70.0, 300 / len(names)))
    left, top = 40 + 6.2 * max(map(len, names)), 70
    title = "Classes and answers; held-out rows"
    drawing = Drawing(max(left + side * len(names) + 20, 300), top + side * len(names) + 24, title)
    drawing.text(left, top - 34, "said to be", colour=REST)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for row, name in enumerate(names):
        drawing.text(left - 8, top + side * (row + 0.5) + 4, name, anchor="end")
        drawing.text(left + side * (row + 0.5), top - 10, _cut(name, int(side / 6)), anchor="middle")
        for column in range(len(names)):
            x, y_ = left + side * column, top + side * row
            drawing.box(x, y_, side - 1, side - 1, colour=ACCENT if row == column else INK, opacity=shares[row, column])
            colour = "white" if shares[row, column] > 0.5 else INK  # noqa: PLR2004  # dark from there on
            text = f"{counts[row, column]:,}"
            drawing.text(x + side / 2, y_ + side / 2 + 4, text, anchor="middle", size=min(11, side / 3), colour=colour)
    return drawing.svg()


def predicted(y: npt.NDArray[Any], numbers: Numbers) -> str:
    """Each row's answer against its label; where there are many rows, some of them, evenly taken."""
    chosen = np.linspace(0, len(y) - 1, min(DOTS_MAX, len(y))).astype(np.intp)
    low, high = float(min(y[chosen].min(), numbers[chosen].min())), float(max(y[chosen].max(), numbers[chosen].max()))
    scale = high - low or 1.0
    drawing = Drawing(_LEFT + _SIDE + 20, _TOP + _SIDE + 46, "Answers and labels; held-out rows")
    at = _panel(drawing, 0, ("label", "answer"), low, high)
    drawing.line([at(0, 0), at(1, 1)], colour=REST, dash="4 4")
    for label, answer in zip(y[chosen].tolist(), numbers[chosen].tolist(), strict=True):
        drawing.dot(*at((label - low) / scale, (answer - low) / scale), radius=2, opacity=0.5)
    return drawing.svg()


def bars(importances: Sequence[Importance], loss: str) -> str:
    """How much the loss grows when a feature is shuffled; the thin line is one standard deviation over folds."""
    left, step = 30 + 6.2 * max(len(_cut(each.name)) for each in importances), 20
    width, longest = 260, max(1e-12, *(each.increase + each.spread for each in importances))
    drawing = Drawing(left + width + 80, _TOP + step * len(importances) + 30, f"Growth of {loss} when shuffled")
    for position, each in enumerate(importances):
        y = _TOP + step * position
        length = width * max(0.0, each.increase) / longest
        drawing.text(left - 8, y + 12, _cut(each.name), anchor="end")
        drawing.box(left, y, length, step - 5)
        if each.spread:
            low, high = (max(0.0, each.increase + sign * each.spread) / longest * width for sign in (-1, 1))
            drawing.line([(left + low, y + 7.5), (left + high, y + 7.5)])
        drawing.text(left + max(length, length + width * each.spread / longest) + 6, y + 12, f"{each.increase:.3g}")
    drawing.line([(left, _TOP - 4), (left, _TOP + step * len(importances))], colour=REST)
    return drawing.svg()


def _panel(drawing: Drawing, x: float, names: tuple[str, str], low: float = 0.0, high: float = 1.0) -> Any:
    """Draws a square with axes from *low* to *high*; a function from shares of its sides to places in it.

    names: of the axis to the right, and of that upwards.
    """
    left, bottom = x + _LEFT, _TOP + _SIDE

    def at(share_x: float, share_y: float) -> tuple[float, float]:
        return left + share_x * (_SIDE - 20), bottom - share_y * (_SIDE - 20)

    for part in (0, 0.25, 0.5, 0.75, 1):
        drawing.line([at(part, 0), at(part, 1)], colour=GRID)
        drawing.line([at(0, part), at(1, part)], colour=GRID)
        text = f"{low + part * (high - low):.4g}"
        drawing.text(at(part, 0)[0], bottom + 14, text, size=9, anchor="middle")
        drawing.text(left - 5, at(0, part)[1] + 3, text, size=9, anchor="end")
    drawing.text(at(0.5, 0)[0], bottom + 32, names[0], anchor="middle")
    drawing.text(x + 14, at(0, 0.5)[1], names[1], anchor="middle", turned=True)
    return at


def _thinned(x: Numbers, y: Numbers) -> list[tuple[float, float]]:
    chosen = np.unique(np.linspace(0, len(x) - 1, min(POINTS_MAX, len(x))).astype(np.intp))
    return list(zip(x[chosen].tolist(), y[chosen].tolist(), strict=True))


def _cut(text: str, chars_max: int = 28) -> str:
    return text if len(text) <= chars_max else f"{text[: max(1, chars_max - 1)]}…"
