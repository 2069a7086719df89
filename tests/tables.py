"""Small labelled tables with features of every kind, and a training on one: what tests of training share."""

from __future__ import annotations

import numpy as np

from app.features import Feature
from app.tables import TableBatch
from app.training.dataset import DatasetReader
from app.training.layout import Layout
from app.training.train import Training
from tests.makers import a_contract

FEATURES = (
    Feature("amount", ("amount",), "float", missing="nan"),
    Feature("at_work", ("at_work",), "bool"),
    Feature("visits", ("visits",), "int"),
    Feature("plan", ("plan",), "string", categories=("basic", "plus", "pro"), missing="default", default="basic"),
    Feature("city", ("place", "city"), "string"),
    Feature("grade", ("grade",), "int", categories=(10, 20, 30)),
    Feature("shape", ("shape",), "vector", width=3, missing="nan"),
)
"""One of each kind; the last but one is a category that comes as an integer."""
CLASSES = {"binary": ("no", "yes"), "multiclass": ("low", "middle", "high"), "regression": ()}


def a_table(seed, *, n_rows=120, task="binary", offset=0.0, scale=1.0, features=FEATURES, missing=0.1):
    """A batch of JSON values whose label, `y`, follows from the features with noise; and the contract for it.

    offset, scale: of the numbers `amount`. missing: the share of values of it, of `plan` and inside `shape` that lack.
    """
    rng = np.random.default_rng(seed)

    def gaps(values):
        return [None if gap else value for value, gap in zip(values, rng.random(n_rows) < missing, strict=True)]

    amount = np.float32(offset + scale * rng.normal(size=n_rows)).astype(float)
    plan, city = rng.choice(["basic", "plus", "pro"], n_rows), rng.choice(["Aa", "Bé", "C c", "D"], n_rows)
    shape = rng.normal(size=(n_rows, 3)).tolist()
    columns = {
        ("amount",): gaps(amount.tolist()),
        ("at_work",): (rng.random(n_rows) < 0.5).tolist(),
        ("visits",): rng.poisson(3, n_rows).tolist(),
        ("plan",): gaps(plan.tolist()),
        ("place", "city"): [
            f"{each}{number}" if number % 17 == 0 else each for number, each in enumerate(city.tolist())
        ],
        ("grade",): rng.choice([10, 20, 30], n_rows).tolist(),
        ("shape",): [gaps_in(each, rng, missing) for each in shape],
        ("t",): np.sort(rng.integers(0, 10 * n_rows, n_rows)).tolist(),
    }
    signal = (amount - offset) / scale + 2 * (plan == "pro") - (city == "D") + rng.logistic(size=n_rows) / 2
    names = CLASSES[task]
    ranks = np.argsort(np.argsort(signal)) * max(1, len(names)) // n_rows
    columns["y",] = [names[rank] for rank in ranks.tolist()] if names else (100 + 3 * signal).tolist()
    contract = a_contract(task, names, features=features, label_path=("y",), id_path=None)
    return contract, TableBatch(1, n_rows, columns, 1.0)


def gaps_in(vector, rng, missing):
    """*vector* with some elements missing."""
    return [None if rng.random() < missing else value for value in vector]


def a_training(contract, *batches, seed=0, n_max=None, define=None):
    """The training on the rows of *batches*."""
    layout = Layout(contract)
    reader = DatasetReader(layout, is_text=False, n_max=n_max, seed=seed)
    for batch in batches:
        reader.add(batch)
    return Training(layout, reader.dataset(), reader.counts, define, seed=seed)
