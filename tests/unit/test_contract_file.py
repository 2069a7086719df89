"""What a contract file may say, and what is said about a wrong one."""

import re
import tomllib

import pytest

from app.errors import ConfigurationError, InvalidRecord, Reason
from app.features import Contract, class_key, load_contracts

AMOUNT = '{ name = "amount", dtype = "float" }'


def test_defaults_are_what_the_documentation_says(make_contract):
    """The shortest contract gets threshold 0.5, the second class as positive, three windows and the usual topics."""
    contract = make_contract('{ name = "amount" }')

    assert (contract.threshold, contract.positive, contract.windows_s) == (0.5, "yes", (60, 3600, 86400))
    assert (contract.topics.features, contract.topics.dead_letters) == ("toy.features", "toy.dead-letters")
    assert (contract.join, contract.id_field, contract.key_field, contract.event_time_field) == ("keyed",) + (None,) * 3
    [amount] = contract.features
    assert (amount.dtype, amount.path, amount.missing, amount.width) == ("float", ("amount",), "reject", 1)


def test_paths_are_dotted_or_lists_where_a_key_has_a_dot(make_contract):
    """A dotted path goes through objects; a list takes its keys as they are."""
    contract = make_contract(
        '{ name = "a", path = "tx.amount" }', '{ name = "b", path = ["tx.b", "c"] }', id_field='"tx.id"'
    )

    assert [feature.path for feature in contract.features] == [("tx", "amount"), ("tx.b", "c")]
    assert (contract.id_path, contract.id_field) == (("tx", "id"), "tx.id")


def test_labels_may_be_joined_by_id(make_contract):
    """Then there is a ledger topic; without a key field, as nothing is asked of keys."""
    contract = make_contract('{ name = "amount" }', join='"by-id"', id_field='"id"')

    assert (contract.is_by_id, contract.key_field, contract.topics.ledger) == (True, None, "toy.ledger")
    assert not make_contract('{ name = "amount" }').is_by_id


WRONG = {
    "name": {"name": '"no dots.please"'},
    "task": {"task": '"clustering"'},
    "classes: expected a list": {"classes": '"yes"'},
    "classes: a binary task has exactly 2": {"classes": '["a", "b", "c"]'},
    "classes: ['a', 'a']": {"classes": '["a", "a"]'},
    "classes: [1, 1.0] names": {"classes": "[1, 1.0]"},
    "classes: True and 1 are of different kinds": {"classes": "[true, 1]"},
    "classes: nan is no class": {"classes": "[0, nan]"},
    "classes: a regression has no": {"task": '"regression"', "classes": '["a", "b"]'},
    "classes: at least 2": {"task": '"multiclass"', "classes": '["a"]'},
    "name: expected a non-empty string, got 5": {"name": "5"},
    "topics: expected a table": {"topics": '"payments"'},
    "positive: 'maybe' is none": {"positive": '"maybe"'},
    "positive: a multiclass": {"task": '"multiclass"', "positive": '"yes"'},
    "threshold: expected a finite": {"threshold": "inf"},
    "threshold: a multiclass": {"task": '"multiclass"', "threshold": "0.5"},
    "label_horizon_s: is required": {"label_horizon_s": None},
    "label_horizon_s: 0.0 is not positive": {"label_horizon_s": "0"},
    "label_horizon_s: expected a finite number, got True": {"label_horizon_s": "true"},
    "join: expected one of": {"join": '"random"'},
    "windows_s: 90 is no multiple": {"windows_s": "[60, 90]"},
    "windows_s: 60 is no multiple": {"windows_s": "[60, 60]"},
    "windows_s: [0.5]": {"windows_s": "[0.5]"},
    "event_time_format: is required": {"event_time_field": '"at"'},
    "event_time_format: there is no event_time_field": {"event_time_format": '"s"'},
    "event_time_format: expected one of": {"event_time_field": '"at"', "event_time_format": '"minutes"'},
    "id_field: expected a dotted path": {"id_field": '"a..b"'},
    'id_field: "amount.id" lies inside': {"id_field": '"amount.id"'},
    'topics.features: "a b" is no topic': {"topics": '{ features = "a b" }'},
    'topics.labels: "toy.models" is the name of two': {"topics": '{ labels = "toy.models" }'},
    "topics.predictions: unknown key": {"topics": '{ predictions = "x" }'},
    'treshold: unknown key; did you mean "threshold"?': {"treshold": "0.5"},
}


@pytest.mark.parametrize("expected", WRONG)
def test_a_wrong_key_is_named_with_a_valid_example(make_contract, expected):
    """The error has the file, the field, what is wrong, and an example that is itself good TOML."""
    with pytest.raises(ConfigurationError, match=re.escape(f"contract.toml: {expected}")) as caught:
        make_contract(AMOUNT, **WRONG[expected])

    assert tomllib.loads(str(caught.value).split("for example: ")[1])


WRONG_FEATURES = {
    "features: expected a list": "",
    "features: 5 is no table": "5",
    "features[1].name: is required": '{ dtype = "float" }',
    "features[a.b].name": '{ name = "a.b" }',
    "features[a].dtype: expected float": '{ name = "a", dtype = "double" }',
    "features[b].dtype": '{ name = "b", dtype = "vector[0]" }',
    "features[a].low: 2.0 is above high": '{ name = "a", low = 2, high = 1 }',
    "features[a].low: a string has no range": '{ name = "a", dtype = "string", low = 2 }',
    "features[a].high: expected an integer": '{ name = "a", dtype = "int", high = 1.5 }',
    "features[a].high: 9223372036854775808 does not fit": '{ name = "a", dtype = "int", high = 9223372036854775808 }',
    "features[a].categories: only a string": '{ name = "a", categories = ["x"] }',
    "features[a].categories: only a string or an int": '{ name = "a", dtype = "int", low = 1, categories = [1] }',
    "features[a].categories: 1 is no string": '{ name = "a", dtype = "string", categories = ["x", 1] }',
    "features[a].categories: True is no int": '{ name = "a", dtype = "int", categories = [1, true] }',
    "features[a].categories: one is named twice": '{ name = "a", dtype = "string", categories = ["x", "x"] }',
    "features[a].missing: only a float": '{ name = "a", dtype = "int", missing = "nan" }',
    "features[a].missing: expected one of": '{ name = "a", missing = "skip" }',
    'features[a].default: missing = "nan" goes without': '{ name = "a", missing = "nan", default = 1 }',
    'features[a].default: missing = "default" needs': '{ name = "a", missing = "default" }',
    "features[a].default: is itself no good value": '{ name = "a", high = 5, default = 9 }',
    "features[a].default: is itself no good value: a: expected a list of 2": (
        '{ name = "a", dtype = "vector[2]", default = [1, 2, 3] }'
    ),
    'features[a].hihg: unknown key; did you mean "high"?': '{ name = "a", hihg = 1 }',
    'features: two features are named "a"': '{ name = "a" }, { name = "a", path = "b" }',
    'features: two features read the field "a"': '{ name = "a" }, { name = "b", path = "a" }',
    'features: "a.b" lies inside the value of features "a"': '{ name = "a" }, { name = "b", path = "a.b" }',
}


@pytest.mark.parametrize("expected", WRONG_FEATURES)
def test_a_wrong_feature_is_named_with_a_valid_example(make_contract, expected):
    """A feature is named in brackets, by its number where it has no name."""
    with pytest.raises(ConfigurationError, match=re.escape(f"contract.toml: {expected}")) as caught:
        make_contract(WRONG_FEATURES[expected])

    assert tomllib.loads(str(caught.value).split("for example: ")[1])


def test_a_file_that_is_absent_or_no_toml_is_named(tmp_path):
    """Nothing but ConfigurationError comes from loading."""
    path = tmp_path / "contract.toml"
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Contract.load(path)
    path.write_text("name = ")
    with pytest.raises(ConfigurationError, match=r"contract\.toml: is not TOML"):
        Contract.load(path)


def test_contracts_are_loaded_by_folder_and_carry_its_name(tmp_path):
    """A contract in the folder of another pipeline would read that one's topics, so it is refused."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "contract.toml").write_text(
        'name = "toy"\ntask = "regression"\nlabel_horizon_s = 5\nfeatures = [{ name = "a" }]'
    )
    assert load_contracts(tmp_path, ["toy"])["toy"].task == "regression"

    (tmp_path / "toy").rename(tmp_path / "other")
    with pytest.raises(ConfigurationError, match='name: is "toy" in the folder of "other"'):
        load_contracts(tmp_path, ["other"])


def test_the_model_digest_stands_for_what_a_model_depends_on(make_contract):
    """A range or a path may change under a released model; a type, a name or the classes may not."""
    base = make_contract(AMOUNT)
    moved = make_contract('{ name = "amount", path = "tx.amount", high = 9 }', threshold="0.7")
    assert moved.model_sha256 == base.model_sha256
    assert moved.sha256 != base.sha256

    others = [
        make_contract('{ name = "amount", dtype = "int" }'),
        make_contract('{ name = "sum" }'),
        make_contract(AMOUNT, classes='["yes", "no"]'),
        make_contract(AMOUNT, task='"multiclass"'),
        make_contract('{ name = "amount", missing = "nan" }'),
    ]
    assert len({contract.model_sha256 for contract in [base, *others]}) == 6


def test_labels_are_classes_without_coercion(make_contract):
    """1 equals 1.0; a boolean is no number and a text no number either."""
    numbers = make_contract(AMOUNT, classes="[0, 1]")
    booleans = make_contract(AMOUNT, classes="[false, true]")
    assert [numbers.label_class(1), numbers.label_class(1.0), booleans.label_class(True)] == [1, 1, 1]

    for contract, label in [
        (numbers, True),
        (numbers, "1"),
        (booleans, 1),
        (numbers, 2),
        (numbers, None),
        (numbers, [1]),
    ]:
        with pytest.raises(InvalidRecord) as caught:
            contract.label_class(label)
        assert caught.value.reason is Reason.BAD_LABEL


def test_labels_of_a_regression_are_finite_numbers(make_contract):
    """A number too large for a float is as bad as a text."""
    contract = make_contract(AMOUNT, task='"regression"')
    assert contract.label_number(3) == 3.0

    for label in (float("nan"), float("inf"), 10**400, True, "3", None):
        with pytest.raises(InvalidRecord) as caught:
            contract.label_number(label)
        assert caught.value.reason is Reason.BAD_LABEL


def test_class_keys_are_one_text_per_class():
    """Equal numbers have one key, however they are written."""
    assert [class_key(value) for value in ("a", False, 1, 1.0, -0.0, 2.5)] == ["a", "false", "1", "1", "0", "2.5"]


def test_the_label_of_a_file_is_named_and_is_no_feature(make_contract):
    """Where files of examples have the label may be said; a model that is told the answer is refused."""
    contract = make_contract('{ name = "amount" }', label_field='"tx.label"')

    assert (contract.label_path, contract.label_field) == (("tx", "label"), "tx.label")
    assert make_contract('{ name = "amount" }').label_field is None
    with pytest.raises(ConfigurationError, match='label_field: features "amount" reads it'):
        make_contract('{ name = "amount" }', label_field='"amount"')
