"""The hot path as a whole: every record has one outcome, in order, under the version in force at its timestamp."""

import json

import numpy as np
import pytest

from app.errors import Reason
from app.features import BatchDecoder
from app.scoring import Scorer, score_batch
from app.scoring.scorer import PLACES

FLOATS = {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", 1])}


@pytest.fixture
def versions(make_contract, models):
    """Version v answers v / 10 + a; all are of one contract."""
    contract = make_contract('{ name = "a" }', id_field='"id"')
    scorers = {}
    for version in (1, 2):
        model = models.graph(
            [("Add", ["a", "bias"], ["out"], {})], *FLOATS, constants={"bias": np.float32([[version / 10]])}
        )
        scorers[version] = Scorer.load(model, contract, version=version, sha256=str(version) * 64)
    return scorers


def test_a_prediction_is_exactly_the_public_record(versions, make_record):
    """Value, key, timestamp and headers as other people's programs expect them."""
    record = make_record({"id": "e1", "a": 0.5}, key=b"k")
    decoder = BatchDecoder(versions[1].contract)
    [prediction] = score_batch([record], decoder, lambda _: versions[1], now_s=1700000001.5).predictions

    assert json.loads(prediction.value) == {
        "id": "e1",
        "model": "toy",
        "version": 1,
        "prediction": "yes",
        "score": round(float(np.float32(0.5) + np.float32(0.1)), PLACES),
        "event_at": 1700000000.25,
        "scored_at": 1700000001.5,
    }
    assert (prediction.key, prediction.timestamp_ms) == (b"k", 1_700_000_000_250)
    assert prediction.headers == [
        ("source-topic", b"toy.features"),
        ("source-partition", b"3"),
        ("source-offset", b"17"),
        ("model-sha256", b"1" * 64),
    ]


def test_good_neighbours_of_bad_records_are_scored(versions, make_record):
    """One outcome for each record, predictions and dead letters each in the order of the batch."""
    values = [{"id": "a", "a": 0}, None, {"id": "b", "a": 0}, {"id": "c"}, {"a": 1}, {"id": "d", "a": 0}]
    records = [make_record(value, offset=offset, key=b"%d" % offset) for offset, value in enumerate(values)]
    scored = score_batch(records, BatchDecoder(versions[1].contract), lambda _: versions[1], now_s=5.0)

    assert [json.loads(record.value)["id"] for record in scored.predictions] == ["a", "b", "d"]
    assert [dict(record.headers)["reason"] for record in scored.dead_letters] == [
        b"null_value", b"missing_feature", b"bad_id"
    ]  # fmt: skip
    assert [record.key for record in scored.dead_letters] == [b"1", b"3", b"4"]
    assert {dict(record.headers)["failed-at"] for record in scored.dead_letters} == {b"5.0"}
    assert scored.versions == {1: 3}
    assert scored.reasons == {Reason.NULL_VALUE: 1, Reason.MISSING_FEATURE: 1, Reason.BAD_ID: 1}


#  timestamp  0 .... 9 | 10 .... 19 | 20 ....
#  in force      1     |     2      |   1        back again within the batch: its first and last record tell nothing
def test_versions_change_inside_a_batch_by_the_records_timestamps(versions, make_record):
    """Timestamps need not be in order; predictions are."""
    seconds = [0, 9, 20, 10, 19, 5, 30]
    records = [make_record({"id": str(s), "a": 0}, timestamp=s * 1000) for s in seconds]
    scored = score_batch(
        records, BatchDecoder(versions[1].contract), lambda t_s: versions[2 if 10 <= t_s < 20 else 1], now_s=0
    )

    made = [json.loads(record.value) for record in scored.predictions]
    assert [int(prediction["id"]) for prediction in made] == seconds
    assert [prediction["version"] for prediction in made] == [1, 1, 1, 2, 2, 1, 1]
    assert b"".join(dict(record.headers)["model-sha256"][:1] for record in scored.predictions) == b"1112211"
    assert scored.versions == {1: 5, 2: 2}


def test_a_record_that_the_model_fails_on_is_a_dead_letter_alone(make_contract, models, make_record):
    """The batch is scored again row by row, so that its neighbours do not suffer."""
    model = models.graph(
        [("Gather", ["table", "a"], ["out"], {})],
        {"a": ("INT64", ["N"])}, {"out": ("FLOAT", ["N"])}, constants={"table": np.float32([0.1, 0.9, 0.4])},
    )  # fmt: skip
    contract = make_contract('{ name = "a", dtype = "int" }')
    scorer = Scorer.load(model, contract, version=4, sha256="")
    records = [make_record({"a": a}, offset=offset) for offset, a in enumerate((0, 99, 1, -99, 2))]
    scored = score_batch(records, BatchDecoder(contract), lambda _: scorer, now_s=0)

    expected = [round(p, PLACES) for p in np.float32([0.1, 0.9, 0.4]).tolist()]
    assert [json.loads(prediction.value)["score"] for prediction in scored.predictions] == expected
    assert scored.reasons == {Reason.SCORING_FAILED: 2}
    assert all(dict(letter.headers)["error"].startswith(b"version 4: ") for letter in scored.dead_letters)

    alone = score_batch(records[1:2], BatchDecoder(contract), lambda _: scorer, now_s=0)
    assert (alone.predictions, alone.reasons) == ([], {Reason.SCORING_FAILED: 1})


@pytest.mark.parametrize("task", ['"binary"', '"multiclass"', '"regression"'])
def test_nan_and_infinity_from_the_model_are_failures(make_contract, models, make_record, task):
    """Whatever the task, a number that is none is never published."""
    multiclass = task == '"multiclass"'
    model = models.graph(
        [("Div", ["one", "a"], ["d"], {}), ("Concat", ["d"] * 3 if multiclass else ["d"], ["out"], {"axis": 1})],
        {"a": ("FLOAT", ["N", 1])},
        {"out": ("FLOAT", ["N", 3 if multiclass else 1])},
        constants={"one": np.float32([[1]])},
    )
    contract = make_contract(
        '{ name = "a", missing = "nan" }', task=task, **({"classes": '["x", "y", "z"]'} if multiclass else {})
    )
    scorer = Scorer.load(model, contract, version=1, sha256="")
    records = [make_record(value, offset=offset) for offset, value in enumerate(({"a": 0}, {"a": 2}, {}))]
    scored = score_batch(records, BatchDecoder(contract), lambda _: scorer, now_s=0)

    assert [dict(p.headers)["source-offset"] for p in scored.predictions] == [b"1"]
    assert [dict(letter.headers)["source-offset"] for letter in scored.dead_letters] == [b"0", b"2"]
    assert scored.reasons == {Reason.SCORING_FAILED: 2}


def test_a_batch_with_nothing_good_asks_for_no_scorer(make_contract, make_record):
    """There is no version to ask for, and nothing to score."""
    decoder = BatchDecoder(make_contract('{ name = "a" }'))
    scored = score_batch([make_record(None)], decoder, {}.__getitem__, now_s=0)

    assert (scored.predictions, scored.versions, scored.reasons) == ([], {}, {Reason.NULL_VALUE: 1})
    assert score_batch([], decoder, {}.__getitem__, now_s=0).dead_letters == []
