"""Worker and checker read the public contracts alike: records by contract.toml, and the models topic."""

import json
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refusal, RejectedRelease
from app.features import BatchDecoder, Contract
from app.feedback import decode_labels
from app.registry.timeline import InForce, Timeline
from verify.contract import parse_contract
from verify.decode import Fault, decode_event, decode_label
from verify.read import Record
from verify.timeline import in_force, read_models, valid_activations

TEXT = """
name = "toy"
task = "multiclass"
classes = ["a", "b", "c"]
id_field = "who.id"
key_field = "key"
event_time_field = "when"
event_time_format = "ms"
label_horizon_s = 60
features = [
  {name = "x", low = -5, high = 1e39},
  {name = "n", dtype = "int", categories = [1, 2], default = 2},
  {name = "flag", dtype = "bool", path = ["a.b", "flag"], default = false},
  {name = "kind", dtype = "string", categories = ["web", "app"]},
  {name = "v", dtype = "vector[2]", missing = "nan"},
  {name = "w", dtype = "vector[2]", default = 0.5, high = 3},
  {name = "loose", missing = "nan"},
]
"""
NUMBERS = st.sampled_from([0, 1, 2, 1.0, 2.5, -6, 5e38, 1e40, 10**30, 2**63, -(2**63), 1e15, 3e14, 10**500])
LEAVES = NUMBERS | st.sampled_from([None, True, False, "", "1", "web", "k", "ü", "\ud800", "2024-01-01T00:00:00Z"])
SHORT = LEAVES.filter(lambda leaf: leaf != 10**500)
DEEP = st.integers(125, 131).map(lambda depth: json.loads("[" * depth + "]" * depth))
VALUES = (
    DEEP | LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.sampled_from(["id", "flag"]), LEAVES, max_size=2)
)
GOOD = {"who": {"id": "i"}, "key": "k", "when": 1000, "x": 1, "kind": "web", "v": [1, 2]}
EVENTS = st.dictionaries(
    st.sampled_from(["who", "key", "when", "x", "n", "a.b", "kind", "v", "w", "loose", "more"]), VALUES, max_size=3
)
RAW = st.sampled_from([None, b"", b"{", b"[]", b"null", b'{"x": NaN}', b'{"x": Infinity}', b"\xff", b"\xef\xbb\xbf{}"])
LABELS = st.fixed_dictionaries(
    {}, optional={"id": SHORT, "label": SHORT | st.sampled_from(["a", "b"]), "at": SHORT, "more": SHORT}
)


def worker_contract(tmp_path_factory):
    """The contract as the worker reads it."""
    path = tmp_path_factory.mktemp("models") / "contract.toml"
    path.write_text(TEXT)
    return Contract.load(path)


def both(contract, record):
    """Outcome by worker and by checker: a reason, or id, time and values."""
    worker_record = SimpleNamespace(**record._asdict(), timestamp=record.timestamp_ms)
    decoded = BatchDecoder(contract).decode([worker_record])
    if decoded.rejected:
        by_worker = decoded.rejected[0].reason.value
    else:
        columns = [decoded.column(feature.name)[0].tolist() for feature in contract.features]
        by_worker = (decoded.ids[0], decoded.event_at_s[0], columns)
    checker = parse_contract(TEXT)
    try:
        event = decode_event(checker, record)
        columns = [as_column(feature, value) for feature, value in zip(checker.features, event.values, strict=True)]
        by_checker = (event.id, event.event_at_s, columns)
    except Fault as fault:
        by_checker = fault.reason
    return by_worker, by_checker


def as_column(feature, value):
    """A value as the column of a model's input has it."""
    values = value if feature.dtype == "vector" else [value]
    if feature.dtype in ("float", "vector"):
        return [float(np.float32(number)) for number in values]
    return values


def test_events_are_read_alike(tmp_path_factory):
    """The same reason for the same record, or the same id, time and values."""
    contract = worker_contract(tmp_path_factory)

    @given(
        st.builds(lambda change: json.dumps(GOOD | change).encode(), EVENTS) | RAW, st.sampled_from([b"k", b"q", None])
    )
    def check(value, key):
        by_worker, by_checker = both(contract, Record("toy.features", 1, 5, 2500, key, value))
        assert repr(by_worker) == repr(by_checker)

    check()


def test_labels_are_read_alike(tmp_path_factory):
    """The same reason for the same record, or the same time and class."""
    contract = worker_contract(tmp_path_factory)

    @given(st.builds(lambda label: json.dumps(label).encode(), LABELS) | RAW)
    def check(value):
        record = Record("toy.labels", 1, 5, 2500, b"k", value)
        seen, rejected = decode_labels([SimpleNamespace(**record._asdict(), timestamp=2500)], contract)
        by_worker = rejected[0].reason.value if rejected else (seen[0].at, "abc"[int(seen[0].y_true)])
        try:
            label = decode_label(parse_contract(TEXT), record)
            by_checker = (label.at_s, label.label)
        except Fault as fault:
            by_checker = fault.reason
        assert by_worker == by_checker

    check()


@st.composite
def models_topic(draw):
    """Records of a models topic, some of them malformed, the broker's timestamps never going back."""
    at_s, records = 0, []
    for offset in range(draw(st.integers(0, 10))):
        at_s += draw(st.integers(0, 2))
        number, version = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        if draw(st.booleans()):
            key = f"release/{version}"
            content = {"pipeline": draw(st.sampled_from(["p", "p", "q"])), "version": version, "sha256": "0" * 64}
            content |= {"size": 1, "chunks": draw(st.sampled_from([1, 1, 2])), "created_at": 0.0}
        else:
            key = f"activation/{number}"
            content = {"sequence": number, "version": version, "author": "a"}
            content["effective_from_s"] = float(at_s + draw(st.integers(-2, 6)))
        if draw(st.integers(0, 9)) == 0:
            content.pop(draw(st.sampled_from(sorted(content))))
        value = None if draw(st.integers(0, 19)) == 0 else json.dumps(content).encode()
        records.append(Record("p.models", 0, offset, at_s * 1000, key.encode(), value))
    return records


@given(models_topic(), st.sets(st.integers(1, 3)), st.integers(-2, 20))
def test_the_models_topic_is_read_alike(records, good, at_s):
    """Once all releases are judged, both name the same version for a point of the stream."""
    timeline = Timeline("p")
    for record in records:
        timeline.feed(record.offset, record.timestamp_ms, record.key, record.value)
    for version in (1, 2, 3):
        if version in good:
            timeline.mark_accepted(version)
        else:
            timeline.mark_refused(version, RejectedRelease(Refusal.NOT_ONNX, "bad"))

    by_checker = in_force(valid_activations(read_models(records, "p"), good), float(at_s))

    answer = timeline.in_force(float(at_s))
    assert (answer.version if isinstance(answer, InForce) else answer) == by_checker
