"""What the checker's own reading of a contract makes of records."""

import json
import math

import pytest

from verify.contract import class_key, load_contract, parse_contract, same
from verify.decode import Fault, decode_event, decode_label
from verify.read import Record
from verify.report import CannotCheck

CONTRACT = parse_contract("""
name = "toy"
task = "multiclass"
classes = ["a", 1, true]
id_field = "who.id"
key_field = "key"
event_time_field = "when"
event_time_format = "iso8601"
label_horizon_s = 60
features = [
  {name = "x", low = 0, high = 1e39},
  {name = "n", dtype = "int", categories = [1, 2], default = 2},
  {name = "flag", dtype = "bool", path = ["a.b", "flag"], default = false},
  {name = "kind", dtype = "string", categories = ["web", "app"]},
  {name = "v", dtype = "vector[2]", missing = "nan"},
  {name = "loose", missing = "nan"},
]
""")
GOOD = {"who": {"id": 7}, "key": "k", "when": "1970-01-01T01:00:00+01:00", "x": 1, "kind": "web", "v": [1, None]}


def record(value, key=b"k"):
    """A record of the features or labels topic."""
    value = json.dumps(value).encode() if isinstance(value, dict) else value
    return Record("toy.features", 1, 5, 2500, key, value)


def test_a_good_event_has_its_id_its_time_and_a_value_for_each_feature():
    """Defaults and NaN stand for what is missing, integers become text where an id is wanted."""
    event = decode_event(CONTRACT, record(GOOD))

    assert (event.id, event.event_at_s) == ("7", 0.0)
    assert event.values[:4] == (1.0, 2, False, "web")
    assert event.values[4][0] == 1.0
    assert math.isnan(event.values[4][1])
    assert math.isnan(event.values[5])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "null_value"),
        (b"{", "not_json"),
        (b'{"x": NaN}', "not_json"),
        (b'"\xff"', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[1]", "not_object"),
        (b" " * ((1 << 20) + 1), "oversized"),
        ({"who": {}}, "bad_id"),
        ({"who": {"id": ""}}, "bad_id"),
        ({"who": {"id": True}}, "bad_id"),
        ({"who": "me"}, "bad_id"),
        ({"key": "other"}, "bad_id"),
        ({"when": 12}, "bad_time"),
        ({"when": "yesterday"}, "bad_time"),
        ({"when": "1969-12-31T00:00:00Z"}, "bad_time"),
        ({"when": None, "x": None}, "bad_time"),
        ({"x": None}, "missing_feature"),
        ({"x": True}, "wrong_type"),
        ({"x": "1"}, "wrong_type"),
        ({"x": -1}, "out_of_range"),
        ({"x": 5e38}, "not_finite"),
        ({"n": 1.5}, "wrong_type"),
        ({"n": 3}, "out_of_range"),
        ({"n": 2**63}, "out_of_range"),
        ({"a.b": {"flag": 0}}, "wrong_type"),
        ({"a.b": 1}, "wrong_type"),
        ({"kind": "phone"}, "out_of_range"),
        ({"kind": 3}, "wrong_type"),
        ({"v": [1]}, "wrong_type"),
        ({"v": [1, "2"]}, "wrong_type"),
        ({"v": 3}, "wrong_type"),
        ({"x": None, "kind": 3}, "missing_feature"),
    ],
)
def test_a_bad_event_has_the_first_of_its_faults(change, reason):
    """Size, JSON, object, id, time, then features in the order of the contract."""
    value = {**GOOD, **change} if isinstance(change, dict) else change

    with pytest.raises(Fault) as fault:
        decode_event(CONTRACT, record(value))

    assert fault.value.reason == reason


def test_an_integer_may_be_written_as_a_float_and_a_key_may_be_absent():
    """JSON knows no difference between 1 and 1.0; a record without a key can be scored."""
    event = decode_event(CONTRACT, record({**GOOD, "n": 1.0}, key=None))

    assert event.values[1] == 1


def test_without_fields_the_id_is_the_coordinates_and_the_time_is_the_records():
    """The plainest contract takes both from Kafka."""
    contract = parse_contract('name="t"\ntask="regression"\nlabel_horizon_s=1\nfeatures=[{name="x"}]')

    event = decode_event(contract, record({"x": 2}))

    assert (event.id, event.event_at_s, event.values) == ("toy.features-1-5", 2.5, (2.0,))


@pytest.mark.parametrize(("unit", "raw"), [("s", 90.5), ("ms", 90_500), ("us", 90_500_000)])
def test_times_are_of_the_unit_that_the_contract_says(unit, raw):
    """Seconds, milliseconds and microseconds."""
    contract = CONTRACT._replace(time_format=unit)

    assert decode_event(contract, record({**GOOD, "when": raw})).event_at_s == 90.5


@pytest.mark.parametrize(
    ("label", "outcome"),
    [
        ({"id": "i", "label": "a", "at": 7}, ("i", "a", 7.0)),
        ({"id": 3, "label": 1.0}, ("3", 1.0, 2.5)),
        ({"id": "i", "label": True, "at": None}, ("i", True, 2.5)),
        ({"id": "i", "label": "1"}, "bad_label"),
        ({"id": "i", "label": 0}, "bad_label"),
        ({"id": "i", "label": False}, "bad_label"),
        ({"id": "i"}, "bad_label"),
        ({"label": "a"}, "bad_id"),
        ({"id": "i", "label": "zz", "at": "now"}, "bad_time"),
        (b"x", "not_json"),
        (None, "null_value"),
    ],
)
def test_a_label_is_a_class_of_the_contract_and_nothing_is_coerced(label, outcome):
    """1 equals 1.0, but neither "1" nor true; `at` is the record's timestamp where it is absent."""
    try:
        _, *found, _, _ = decode_label(CONTRACT, record(label))
    except Fault as fault:
        found = fault.reason

    assert found == outcome or tuple(found) == outcome


@pytest.mark.parametrize("label", ["1", True, 10**399, None])
def test_a_label_of_a_regression_is_a_finite_number(label):
    """Neither text nor booleans, nor what is beyond a float."""
    contract = CONTRACT._replace(task="regression", classes=())

    with pytest.raises(Fault, match="no finite number"):
        decode_label(contract, record({"id": "i", "label": label}))


def test_classes_have_keys_of_their_own():
    """The text of a class where JSON wants a string."""
    assert [class_key(value) for value in ("a", True, 1, 1.0, 0.5)] == ["a", "true", "1", "1", "0.5"]
    assert same(1, 1.0)
    assert not same(1, True)
    assert not same(1, "1")


def test_a_contract_that_cannot_be_understood_is_no_verdict(tmp_path):
    """What is missing or out of reach of the checker is named."""
    path = tmp_path / "contract.toml"
    for text, told in {
        "name = ": "is no contract",
        'name = "x"': "is missing",
        'join = "by-hand"': "is neither",
    }.items():
        path.write_text(text)
        with pytest.raises(CannotCheck, match=told):
            load_contract(path)
