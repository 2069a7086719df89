"""The contract of a pipeline: what its records look like, what its model expects, how its labels are judged."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from app.errors import ConfigurationError, InvalidRecord, Reason
from app.features.classes import identity_of
from app.features.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from app.records import ClassValue, Topics

Task = Literal["binary", "multiclass", "regression"]
Dtype = Literal["float", "int", "bool", "string", "vector"]
TimeFormat = Literal["s", "ms", "us", "iso8601"]
Join = Literal["keyed", "by-id"]
Encoding = Literal["json", "arrow"]
FieldPath = tuple[str, ...]
"""Keys from the outermost JSON object inwards; one key for a flat field."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model: where it stands in the record and which values are good."""

    name: str
    path: FieldPath
    dtype: Dtype
    width: int = 1
    """Numbers it takes in the model's matrix: n for `vector[n]`, else 1."""
    low: float | None = None
    high: float | None = None
    """Inclusive bounds; of each element for a vector."""
    categories: tuple[str | int, ...] | None = None
    missing: Literal["reject", "nan", "default"] = "reject"
    default: float | str | tuple[float, ...] | None = None
    """What an absent or null value becomes, if `missing` is `default`."""


@dataclass(frozen=True)
class Contract:
    """A pipeline's `models/<pipeline>/contract.toml`, checked; docs/contract.md describes every key."""

    name: str
    task: Task
    classes: tuple[ClassValue, ...]
    """In the order of the model's probability columns; empty for regression."""
    positive: ClassValue | None
    """The class that a binary `score` is the probability of; None for other tasks."""
    threshold: float
    """A binary event is positive iff its score is at least this."""
    topics: Topics
    id_path: FieldPath | None
    key_path: FieldPath | None
    event_time_path: FieldPath | None
    event_time_format: TimeFormat | None
    label_horizon_s: float
    join: Join
    """How a label meets its prediction: in the partition of the same number, or on the ledger topic by its id."""
    windows_s: tuple[int, ...]
    """Ascending, each a multiple of the one before it."""
    features: tuple[Feature, ...]
    label_path: FieldPath | None = None
    """Where the label stands in a file of examples; workers, who get labels from a topic, do not look at it."""
    encoding: Encoding = "json"
    """What a feature record's value is: a JSON object, or an Arrow IPC stream whose rows are events."""

    @staticmethod
    def load(path: Path) -> Contract:
        """The contract in the TOML file *path*; ConfigurationError names file, field and a valid example."""
        from app.features.contract_file import read_contract  # noqa: PLC0415 - it builds Contracts, so it imports us

        return read_contract(path)

    @property
    def id_field(self) -> str | None:
        """`id_path` as the contract writes it."""
        return ".".join(self.id_path) if self.id_path else None

    @property
    def key_field(self) -> str | None:
        """`key_path` as the contract writes it."""
        return ".".join(self.key_path) if self.key_path else None

    @property
    def event_time_field(self) -> str | None:
        """`event_time_path` as the contract writes it."""
        return ".".join(self.event_time_path) if self.event_time_path else None

    @property
    def label_field(self) -> str | None:
        """`label_path` as the contract writes it."""
        return ".".join(self.label_path) if self.label_path else None

    @property
    def is_by_id(self) -> bool:
        """Whether predictions and labels are re-keyed by id before they are joined."""
        return self.join == "by-id"

    @property
    def width(self) -> int:
        """Columns of the model's matrix: the features' widths together."""
        return sum(feature.width for feature in self.features)

    @cached_property
    def positive_index(self) -> int | None:
        """Where the positive class stands in `classes`; None unless binary."""
        return None if self.positive is None else self._index_of[identity_of(self.positive)]

    @cached_property
    def _index_of(self) -> dict[tuple[str, Any] | None, int]:
        return {identity_of(value): index for index, value in enumerate(self.classes)}

    @cached_property
    def model_sha256(self) -> str:
        """Digest of what a model depends on: task, classes, and each feature's name, type, width and missing value.

        Where a value stands in the record and which range is good may change under a released model.
        """
        inputs = [(f.name, f.dtype, f.width, f.missing, f.default) for f in self.features]
        return _digest([self.task, self.classes, inputs])

    @cached_property
    def sha256(self) -> str:
        """Digest of the whole contract, comments and layout of its file apart."""
        return _digest(asdict(self))

    def label_class(self, value: Any) -> int:
        """The index in `classes` of the label *value*; InvalidRecord(BAD_LABEL) if it is none of them."""
        index = self._index_of.get(identity_of(value))
        if index is None:
            expected = msgspec.json.encode(self.classes).decode()
            raise InvalidRecord(Reason.BAD_LABEL, f"label {shown(value)} is no class of the contract: {expected}")
        return index

    def label_number(self, value: Any) -> float:
        """The label *value* of a regression; InvalidRecord(BAD_LABEL) unless it is a finite number."""
        if type(value) in (int, float):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        raise InvalidRecord(Reason.BAD_LABEL, f"label {shown(value)} is not a finite number")


def load_contracts(models_dir: Path, pipelines: Iterable[str]) -> dict[str, Contract]:
    """The contracts `<models_dir>/<pipeline>/contract.toml`, by pipeline; ConfigurationError if one is wrong."""
    contracts = {}
    for pipeline in pipelines:
        path = models_dir / pipeline / "contract.toml"
        try:
            contract = Contract.load(path)
        except ConfigurationError as error:
            known = [each.parent.name for each in models_dir.glob("*/contract.toml")]
            near = None if pipeline in known else next(iter(get_close_matches(pipeline, known, n=1)), None)
            if near is None:
                raise
            raise ConfigurationError(f"{error}; did you mean {near}?") from error
        if contract.name != pipeline:
            raise ConfigurationError(
                f'{path}: name: is "{contract.name}" in the folder of "{pipeline}"; for example: name = "{pipeline}"'
            )
        contracts[pipeline] = contract
    return contracts


def _digest(content: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
