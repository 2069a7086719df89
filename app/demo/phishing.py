"""The demo's data: river's bundled Phishing, 1,250 labelled web sites that nobody here made up.

Only 625 of its feature vectors are distinct, so a split by row would leak: the split is by distinct vector, and no
vector that a model was trained on is ever streamed.

https://archive.ics.uci.edu/dataset/379/website+phishing
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

from app.errors import ConfigurationError

FEATURES = (
    "empty_server_form_handler",
    "popup_window",
    "https",
    "request_from_other_domain",
    "anchor_from_other_domain",
    "is_popular",
    "long_url",
    "age_of_domain",
    "ip_in_url",
)
CLASSES = ("legitimate", "phishing")
TRAINING_SHARE = 0.4
"""Share of the distinct feature vectors that models may learn from; the others are streamed."""


class Case(NamedTuple):
    """One web site: its place in the file, its nine features in the order of `FEATURES`, and the truth about it."""

    row: int
    features: tuple[float, ...]
    label: str

    @property
    def id(self) -> str:
        """The name of the case in the stream, before a pass is added to it.

        >>> Case(row=41, features=(), label="phishing").id
        'site-0041'
        """
        return f"site-{self.row:04}"


class Cases(NamedTuple):
    """The data set, split by distinct feature vector; both parts in the order of the file."""

    training: tuple[Case, ...]
    streamed: tuple[Case, ...]


def load_cases(path: Path | None = None) -> Cases:
    """The cases of *path* (default: the file inside the installed river package), split.

    Raises ConfigurationError when river is not installed.
    """
    training: list[Case] = []
    streamed: list[Case] = []
    with gzip.open(path or _bundled(), "rt", newline="") as lines:
        for row, fields in enumerate(csv.DictReader(lines)):
            features = tuple(float(fields[name]) for name in FEATURES)
            case = Case(row, features, CLASSES[int(fields["is_phishing"])])
            (training if is_training(features) else streamed).append(case)
    return Cases(tuple(training), tuple(streamed))


def is_training(features: tuple[float, ...]) -> bool:
    """Whether the feature vector belongs to training: by its own digest, so that all its rows go the same way.

    >>> is_training((0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0)), is_training((1.0,) * 9)
    (True, False)
    """
    digest = hashlib.sha256(repr(features).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < TRAINING_SHARE


def _bundled() -> Path:
    # The package is located, not imported: importing river takes seconds and the demo wants only one file of it.
    spec = importlib.util.find_spec("river")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "the demo streams the data set Phishing of the package river, which is not installed; "
            "install what requirements/dev.txt names, or run `make demo`"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "datasets" / "phishing.csv.gz"
