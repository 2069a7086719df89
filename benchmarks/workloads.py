"""The work that everybody does: records of some kind, as JSON, and a model that scores them.

    a  30 named numbers, 100 boosted trees          about 620 bytes a record
    b  the same records, logistic regression        what is left when the model costs nothing
    c  mixed columns, four of them texts            one-hot encoded inside the model, then the same trees
    d  the same records as a, a network of 1 MB     what is left when the model costs most
    e  784 numbers in a list, a small network       the shape that Crayfish published; about 4.5 kB a record
    f  the 30 numbers in Arrow, logistic regression 1,000 rows to a record, a prediction for each: (b) without the JSON

Models are trained when they are first asked for, in seconds, and kept in the cache.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.embedded.fetch import cache_dir
from benchmarks.arrow_records import stream_maker
from benchmarks.peers.scoring import N_FEATURES, N_PIXELS, NUMBERS, TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from onnx import ModelProto

N_TREES = 100
N_TRAINED_ON = 4000
N_KEYS = 1000
SEED = 7
WHOLE_NUMBERS = ("visits", "items")
"""Of the mixed columns those that the contract calls `int`."""
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "channel": ("web", "app", "phone", "branch"),
    "country": ("AT", "BR", "CH", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "NL", "US"),
    "device": ("android", "ios", "linux", "mac", "windows"),
    "product": ("card", "loan", "savings", "transfer", "wallet", "bond", "fund", "insurance"),
}


@dataclass(frozen=True, kw_only=True)
class Workload(ABC):
    """Records of one kind and the model that scores them."""

    letter: str
    """How results call it."""
    about: str
    """One line for people."""
    estimator: Callable[[], Any]
    """A scikit-learn classifier, not yet fitted."""
    recipe: str
    """Names what the model is made of beside scikit-learn: another recipe is another model in the cache."""
    n_records: int
    """Events on the topic of a full run."""
    rows_per_record: int = 1
    """Events in each record."""
    n_distinct: int = 20_000
    """Distinct bodies of records; ids are distinct for every record."""

    shape: ClassVar[str]
    """What a peer must know to decode: `named`, `mixed`, `vector` or `rows`, see benchmarks/peers/scoring.py."""
    encoding: ClassVar[str] = "json"
    classes: ClassVar[tuple[int, ...]] = (0, 1)

    @property
    @abstractmethod
    def features(self) -> Mapping[str, Mapping[str, object]]:
        """Of each feature the keys that the contract has beside its name."""

    @abstractmethod
    def bodies(self, n: int) -> list[dict[str, Any]]:
        """The fields of *n* records, without the id."""

    @abstractmethod
    def train(self) -> ModelProto:
        """The model, fitted and converted; a matter of seconds."""

    def trained_model(self) -> Path:
        """The ONNX file of the model; trained at the first call and cached."""
        recipe = f"{sklearn.__version__} {self.recipe}"
        path = cache_dir() / f"bench-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.onnx"
        if not path.exists():
            onnx = self.train()
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(onnx.SerializeToString())
            part.replace(path)
        return path

    def contract(self, pipeline: str, features_topic: str, *, label_horizon_s: int = 3600) -> str:
        """The contract.toml of *pipeline* on this work."""
        lines = [
            f'name = "{pipeline}"',
            f'task = "{"binary" if len(self.classes) == 2 else "multiclass"}"',
            f"classes = {list(self.classes)}",
            'id_field = "id"',
            f'encoding = "{self.encoding}"',
            f"label_horizon_s = {label_horizon_s}",
            "windows_s = [60, 3600]",
            f'topics.features = "{features_topic}"',
        ]
        for name, keys in self.features.items():
            lines += ["[[features]]", f'name = "{name}"', *(f"{key} = {_toml(value)}" for key, value in keys.items())]
        return "\n".join(lines) + "\n"

    def record_maker(self) -> Callable[[int], tuple[bytes, bytes]]:
        """A function from a record's number to its key and value; the id in it is `e-<number>`."""
        n_distinct = self.n_distinct
        tails = [msgspec.json.encode(body)[1:] for body in self.bodies(n_distinct)]
        keys = [b"account-%d" % number for number in range(N_KEYS)]

        def make(number: int) -> tuple[bytes, bytes]:
            return keys[number % N_KEYS], b'{"id":"e-%d",%s' % (number, tails[number % n_distinct])

        return make


@dataclass(frozen=True, kw_only=True)
class Named(Workload):
    """Numbers, each in a field of its own."""

    n_features: int = N_FEATURES
    shape: ClassVar[str] = "named"

    @property
    def names(self) -> tuple[str, ...]:
        """`feature_00` and so on: of 30 features those that the peers decode."""
        return tuple(f"feature_{index:02d}" for index in range(self.n_features))

    @property
    def features(self) -> Mapping[str, Mapping[str, object]]:
        """Floats."""
        return {name: {"dtype": "float"} for name in self.names}

    def bodies(self, n: int) -> list[dict[str, Any]]:
        """Numbers of four places."""
        rows, _ = self._cases(n)
        return [dict(zip(self.names, row, strict=True)) for row in np.round(rows.astype(float), 4).tolist()]

    def train(self) -> ModelProto:
        """One input for all numbers."""
        return _of_matrix(self.estimator(), *self._cases(N_TRAINED_ON))

    def _cases(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Synthetic cases, features float32 of shape (n, n_features) and classes of shape (n,)."""
        informative, redundant = self.n_features // 2, min(2, self.n_features // 4)
        rows, classes = make_classification(
            n, self.n_features, n_informative=informative, n_redundant=redundant, random_state=SEED
        )
        return rows.astype(np.float32), classes


@dataclass(frozen=True, kw_only=True)
class Rows(Named):
    """The same numbers as 32-bit columns, many events to a record."""

    shape: ClassVar[str] = "rows"
    encoding: ClassVar[str] = "arrow"

    def record_maker(self) -> Callable[[int], tuple[bytes, bytes]]:
        """A function from a record's number to its key and value; the ids in it are `e-<number of the event>`."""
        rows, _ = self._cases(self.n_distinct)
        keys = [b"account-%d" % number for number in range(N_KEYS)]
        value_of = stream_maker(self.names, np.round(rows, 4), self.rows_per_record)
        return lambda number: (keys[number % N_KEYS], value_of(number))


@dataclass(frozen=True, kw_only=True)
class Mixed(Workload):
    """Numbers and texts, a column for each, through a ColumnTransformer that is part of the model."""

    shape: ClassVar[str] = "mixed"

    @property
    def features(self) -> Mapping[str, Mapping[str, object]]:
        """Whole numbers and texts are checked more closely than floats."""
        numbers = {name: {"dtype": "int" if name in WHOLE_NUMBERS else "float"} for name in NUMBERS}
        return numbers | {name: {"dtype": "string", "categories": list(CATEGORIES[name])} for name in TEXTS}

    def bodies(self, n: int) -> list[dict[str, Any]]:
        """Numbers of two places, whole numbers and texts."""
        rows, _ = self._cases(n)
        return [dict(zip((*NUMBERS, *TEXTS), row, strict=True)) for row in rows.tolist()]

    def train(self) -> ModelProto:
        """One input for each column; scaling and one-hot encoding are part of the model."""
        positions = range(len(NUMBERS) + len(TEXTS))
        columns = ColumnTransformer(
            [
                ("numbers", StandardScaler(), list(positions[: len(NUMBERS)])),
                ("texts", OneHotEncoder(), list(positions[len(NUMBERS) :])),
            ],
            sparse_threshold=0,
        )
        model = make_pipeline(columns, self.estimator()).fit(*self._cases(N_TRAINED_ON))
        inputs = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
        inputs += [(name, StringTensorType([None, 1])) for name in TEXTS]
        return _converted(model, inputs, id(model.steps[-1][1]))

    def _cases(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Synthetic cases: columns of objects, shape (n, 12), and classes of shape (n,), which depend on most."""
        random = np.random.default_rng(SEED)
        numbers = np.round(random.gamma(2.0, 10.0, (n, len(NUMBERS))), 2)
        codes = np.column_stack([random.integers(len(CATEGORIES[name]), size=n) for name in TEXTS])
        risk = numbers @ random.normal(size=len(NUMBERS)) / 20 + codes @ random.normal(size=len(TEXTS)) / 3
        cases = np.empty((n, len(NUMBERS) + len(TEXTS)), object)
        cases[:, : len(NUMBERS)] = numbers
        for name in WHOLE_NUMBERS:
            cases[:, NUMBERS.index(name)] = numbers[:, NUMBERS.index(name)].astype(int).tolist()
        for at, name in enumerate(TEXTS):
            cases[:, len(NUMBERS) + at] = np.array(CATEGORIES[name], object)[codes[:, at]]
        return cases, (risk + random.normal(size=n) > np.median(risk)).astype(int)


@dataclass(frozen=True, kw_only=True)
class Vector(Workload):
    """Images: a list of numbers from 0 to 1 in one field, ten classes."""

    shape: ClassVar[str] = "vector"
    classes: ClassVar[tuple[int, ...]] = tuple(range(10))

    @property
    def features(self) -> Mapping[str, Mapping[str, object]]:
        """One vector."""
        return {"x": {"dtype": f"vector[{N_PIXELS}]"}}

    def bodies(self, n: int) -> list[dict[str, Any]]:
        """A list of 784 numbers of four places."""
        images, _ = self._cases(n)
        return [{"x": image} for image in np.round(images.astype(float), 4).tolist()]

    def train(self) -> ModelProto:
        """One input for all numbers."""
        return _of_matrix(self.estimator(), *self._cases(N_TRAINED_ON))

    def _cases(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Noisy copies of ten images, float32 of shape (n, 784), and which of the ten, shape (n,)."""
        random = np.random.default_rng(SEED)
        originals = random.random((len(self.classes), N_PIXELS))
        classes = random.integers(len(self.classes), size=n)
        images = originals[classes] + random.normal(scale=0.5, size=(n, N_PIXELS))
        return np.clip(images, 0, 1).astype(np.float32), classes


def _of_matrix(estimator: Any, rows: np.ndarray, classes: np.ndarray) -> ModelProto:
    """*estimator* fitted on *rows*, with the one input `features`."""
    model = estimator.fit(rows, classes)
    return _converted(model, [("features", FloatTensorType([None, rows.shape[1]]))], id(model))


def _converted(model: Any, inputs: list[tuple[str, Any]], classifier: int) -> ModelProto:
    """*model* as ONNX with a plain matrix of probabilities; *classifier* is the id of the part that gives them."""
    options = {classifier: {"zipmap": False}}
    return to_onnx(model, initial_types=inputs, options=options, target_opset={"": 18, "ai.onnx.ml": 3})


def _toml(value: object) -> str:
    """A text or a list of texts as TOML, which writes them as JSON does."""
    return msgspec.json.encode(value).decode()


def trees() -> GradientBoostingClassifier:
    """What (a) and (c) are scored with."""
    return GradientBoostingClassifier(n_estimators=N_TREES, random_state=SEED)


def network(*layers: int) -> MLPClassifier:
    """A feed-forward network with hidden layers of these widths."""
    return MLPClassifier(layers, early_stopping=True, n_iter_no_change=2, random_state=SEED)


WORKLOADS: Mapping[str, Workload] = {
    work.letter: work
    for work in (
        Named(
            letter="a",
            about="30 named numbers, 100 boosted trees",
            estimator=trees,
            recipe=f"{N_FEATURES} {N_TREES} {SEED}",
            n_records=1_000_000,
        ),
        Named(
            letter="b",
            about="30 named numbers, logistic regression",
            estimator=LogisticRegression,
            recipe=f"{N_FEATURES} logistic {SEED}",
            n_records=600_000,
        ),
        Mixed(
            letter="c",
            about="8 numbers and 4 texts, one-hot encoded, 100 boosted trees",
            estimator=trees,
            recipe=f"mixed {N_TREES} {SEED}",
            n_records=300_000,
        ),
        Named(
            letter="d",
            about="30 named numbers, a network of 1 MB",
            estimator=lambda: network(484, 484),
            recipe=f"{N_FEATURES} network 484 484 {SEED}",
            n_records=200_000,
        ),
        Vector(
            letter="e",
            about="784 numbers in a list, the feed-forward network of Crayfish",
            estimator=lambda: network(32, 32, 32),
            recipe=f"{N_PIXELS} network 32 32 32 {SEED}",
            n_records=150_000,
            n_distinct=1000,
        ),
        Rows(
            letter="f",
            about="30 numbers in Arrow record batches of 1,000 rows, logistic regression",
            estimator=LogisticRegression,
            recipe=f"{N_FEATURES} logistic {SEED}",
            n_records=3_000_000,
            rows_per_record=1000,
        ),
    )
}
