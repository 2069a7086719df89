"""What a replay sends of a row: key, id, JSON, time and label, by the contract."""

from __future__ import annotations

import json

import pytest

from app.errors import ConfigurationError
from app.features.contract import Feature
from app.replay.columns import check_columns, label_problem
from app.replay.events import EventMaker, label_value, part
from app.replay.plan import Plan
from app.tables import TableBatch, columns_of
from tests.makers import a_contract

NESTED = a_contract(
    id_path=("payment", "id"),
    key_path=("account",),
    event_time_path=("payment", "at"),
    event_time_format="ms",
    label_path=("fraud",),
    features=(Feature("amount", ("payment", "amount"), "float"), Feature("web", ("web",), "bool")),
)
TEXTS = {
    ("payment", "id"): ["t-1", "", "t-3"],
    ("account",): ["a-7", "a-8", ""],
    ("payment", "at"): ["1772366400000", "soon", "1772366401500"],
    ("payment", "amount"): ["12.5", "NA", "much"],
    ("web",): ["yes", "no", "true"],
    ("fraud",): ["no", "yes", ""],
    ("note",): ["not in the contract"] * 3,
}


def made(contract, batch, plan=None, *, is_text=True, new_times_s=None):
    """The events of *batch*."""
    maker = EventMaker(contract, plan or Plan(), is_text=is_text)
    return maker.events(batch, maker.times_s(batch), new_times_s)


@pytest.fixture(name="texts")
def _texts():
    """Three rows of a CSV file, the second and third with faults."""
    return TableBatch(1, 3, TEXTS, 1.0)


def test_nested_paths_are_restored_and_faults_are_sent_as_they_are(texts):
    """What is missing is absent, and what is no number stays the text that it is."""
    values = [json.loads(event.value) for event in made(NESTED, texts)]

    assert values == [
        {"payment": {"id": "t-1", "at": 1772366400000.0, "amount": 12.5}, "account": "a-7", "web": True},
        {"payment": {"at": "soon"}, "account": "a-8", "web": False},
        {"payment": {"id": "t-3", "at": 1772366401500.0, "amount": "much"}, "web": True},
    ]


def test_key_id_time_and_label_are_those_of_the_contract(texts):
    """The key is that of key_field, and null where a row has none; so is the id."""
    events = made(NESTED, texts)

    assert [(event.key, event.id, event.at_s, event.label) for event in events] == [
        (b"a-7", "t-1", 1772366400.0, "no"),
        (b"a-8", None, None, "yes"),
        (None, "t-3", 1772366401.5, None),
    ]


def test_without_a_key_field_the_id_is_the_key_and_without_both_there_is_none(texts):
    """So that a label, which has the id, can have the key."""
    by_id = a_contract(id_path=("payment", "id"), features=NESTED.features)
    without = a_contract(id_path=None, features=NESTED.features)

    assert [event.key for event in made(by_id, texts)] == [b"t-1", None, b"t-3"]
    assert [(event.key, event.id) for event in made(without, texts)] == [(None, None)] * 3


def test_fresh_ids_are_in_the_record_and_in_the_key_that_is_made_of_them(texts):
    """Each gets the same suffix; a row without an id stays without."""
    by_id = a_contract(id_path=("payment", "id"), features=NESTED.features)
    events = made(by_id, texts, Plan(id_suffix="~x"))

    assert [event.id for event in events] == ["t-1~x", None, "t-3~x"]
    assert events[0].key == b"t-1~x"
    assert json.loads(events[0].value)["payment"]["id"] == "t-1~x"


@pytest.mark.parametrize(
    ("time_format", "written"),
    [("s", 1.25), ("ms", 1250), ("us", 1_250_000), ("iso8601", "1970-01-01T00:00:01.250000Z")],
)
def test_new_times_are_written_in_the_format_of_the_contract(time_format, written):
    """The time of the label is made of what a worker will read there."""
    contract = a_contract(event_time_path=("when", "at"), event_time_format=time_format)
    event = made(contract, TableBatch(1, 1, {("id",): ["x"]}, 1.0), new_times_s=[1.25])[0]

    assert (json.loads(event.value), event.at_s) == ({"id": "x", "when": {"at": written}}, 1.25)


def test_a_row_whose_time_is_bad_keeps_it(texts):
    """It is a dead letter, and a replay must not mend it."""
    events = made(NESTED, texts, new_times_s=[10.0, None, 20.0])

    assert [json.loads(event.value)["payment"]["at"] for event in events] == [10_000, "soon", 20_000]
    assert [event.at_s for event in events] == [10.0, None, 20.0]


def test_labels_name_id_class_and_time():
    """A number class is a number; the record's own time counts where events have no other."""
    contract = a_contract(classes=(0, 1), label_path=("y",))
    batch = TableBatch(1, 2, {("id",): ["5", "6"], ("y",): ["1.0", "2"]}, 1.0)
    events = made(contract, batch)

    assert [json.loads(label_value(event, event.id, 100.0, 5.0)) for event in events] == [
        {"id": "5", "label": 1, "at": 105.0},
        {"id": "6", "label": 2.0, "at": 105.0},
    ]
    assert json.loads(label_value(events[0], "5", None, 5.0)) == {"id": "5", "label": 1}


def test_json_values_are_sent_as_they_are():
    """Of JSON lines: integers as ids and keys become texts there, and stay integers in the record."""
    rows = [{"id": 7, "payment": {"amount": 1}, "y": True}, {"id": True, "payment": 5}]
    contract = a_contract(classes=(False, True), label_path=("y",), features=NESTED.features)
    events = made(contract, TableBatch(1, 2, columns_of(rows), 1.0), is_text=False)

    assert (events[0].key, events[0].id, events[0].label) == (b"7", "7", True)
    assert json.loads(events[0].value) == {"id": 7, "payment": {"amount": 1}}
    assert (events[1].key, events[1].id, events[1].label) == (None, None, None)


def test_a_part_of_a_batch_is_a_batch(texts):
    """Rows are numbered on."""
    second = part(texts, 1, 2)

    assert (second.first_row, second.n_rows, second.columns[("account",)]) == (2, 1, ["a-8"])


def test_a_file_of_other_columns_is_a_mistake():
    """Named with what was probably meant, or with what there is."""
    with pytest.raises(ConfigurationError, match=r"no column payment\.amount, .* did you mean payment\.amont"):
        check_columns(NESTED, [("payment", "id"), ("payment", "amont"), ("web",)], "f.csv")
    with pytest.raises(ConfigurationError, match=r"for its feature amount \(and 2 others\); it has x"):
        check_columns(NESTED, [("x",)], "f.csv")
    check_columns(NESTED, list(TEXTS), "f.csv")


def test_why_there_are_no_labels_is_said():
    """No label_field, or no such column."""
    assert "label_field =" in label_problem(a_contract(), [("a",)], "f.csv")
    assert "did you mean fraud?" in label_problem(a_contract(label_path=("fruad",)), [("fraud",)], "f.csv")
    assert label_problem(NESTED, list(TEXTS), "f.csv") is None
