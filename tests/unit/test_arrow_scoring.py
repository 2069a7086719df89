"""Rows of Arrow records through the hot path: one outcome for each, told apart by `source-row`."""

import json

import numpy as np
import pyarrow as pa
import pytest

from app.features import Contract, decoder_of
from app.scoring import Scorer, score_batch
from tests.arrow_streams import rows_of, stream


@pytest.fixture
def decoder(make_contract):
    """Of rows with the features of the `boosting` model and an id."""
    features = [f'{{ name = "f{n}", low = -100, high = 100 }}' for n in range(6)]
    contract = make_contract(*features, encoding='"arrow"', classes="[0, 1]", id_field='"id"')
    return decoder_of(contract, max_record_bytes=1 << 20)


def columns_of(x, prefix="e"):
    """Columns of the rows *x*, each with an id."""
    return {f"f{n}": pa.array(x[:, n], pa.float32()) for n in range(6)} | {
        "id": [f"{prefix}-{n}" for n in range(len(x))]
    }


def by_headers(records):
    """The records by offset and row of their event."""
    headers = [dict(record.headers) for record in records]
    return {(int(h["source-offset"]), int(h["source-row"])): r for h, r in zip(headers, records, strict=True)}


def test_each_row_has_one_outcome(decoder, models, make_record):
    """A prediction with the record's key and timestamp, or a dead letter of the row alone that can be sent again."""
    model, x = models.boosting(), models.boosting().x[:6].copy()
    scorer = Scorer.load(model.onnx, decoder.contract, version=3, sha256="ab" * 32)
    x[1, 2], x[4, 0] = np.nan, 1000
    records = [
        make_record(stream(columns_of(x), rows_per_batch=4), offset=8, key=b"k", timestamp=5000),
        make_record(b"no stream", offset=9),
        make_record(stream(columns_of(x[:1], "g")), offset=11, timestamp=6000),
    ]

    scored = score_batch(records, decoder, lambda _: scorer, now_s=7.0)

    predictions = by_headers(scored.predictions)
    assert list(predictions) == [(8, 0), (8, 2), (8, 3), (8, 5), (11, 0)]
    made = predictions[8, 2]
    assert (made.key, made.timestamp_ms) == (b"k", 5000)
    assert [name for name, _ in made.headers] == [
        "source-topic", "source-partition", "source-offset", "source-row", "model-sha256",
    ]  # fmt: skip
    told = json.loads(made.value)
    assert (told["id"], told["version"], told["event_at"]) == ("e-2", 3, 5.0)
    expected = model.estimator.predict_proba(x[[0, 2, 3, 5, 0]])[:, 1]
    np.testing.assert_allclose([json.loads(r.value)["score"] for r in scored.predictions], expected, rtol=1e-5)

    whole = [letter for letter in scored.dead_letters if "source-row" not in dict(letter.headers)]
    assert [(letter.value, dict(letter.headers)["reason"]) for letter in whole] == [(b"no stream", b"not_json")]
    letters = by_headers([letter for letter in scored.dead_letters if letter not in whole])
    assert {place: dict(letter.headers)["reason"] for place, letter in letters.items()} == {
        (8, 1): b"not_finite",
        (8, 4): b"out_of_range",
    }
    assert (letters[8, 4].key, letters[8, 4].timestamp_ms) == (b"k", 5000)
    [row] = rows_of(letters[8, 4].value)
    assert (row["id"], row["f0"]) == ("e-4", 1000)
    assert scored.reasons == {"not_json": 1, "not_finite": 1, "out_of_range": 1}


def test_versions_change_between_records_and_rows_stay_in_order(decoder, models, make_record):
    """Each record has the version in force at its timestamp; predictions come in the order of records and rows."""
    model, x = models.boosting(), models.boosting().x[:3]
    scorers = {n: Scorer.load(model.onnx, decoder.contract, version=n, sha256="ab" * 32) for n in (1, 2)}
    records = [make_record(stream(columns_of(x)), offset=n, timestamp=1000 * (n % 2)) for n in range(4)]

    scored = score_batch(records, decoder, lambda at_s: scorers[1 + int(at_s)], now_s=7.0)

    assert list(by_headers(scored.predictions)) == [(offset, row) for offset in range(4) for row in range(3)]
    assert [json.loads(r.value)["version"] for r in scored.predictions] == [1, 1, 1, 2, 2, 2] * 2
    assert scored.versions == {1: 6, 2: 6}


class _Failing(Scorer):
    """Raises for batches that have the row with a certain number in its first feature."""

    def score(self, decoded):
        if (decoded.matrix()[:, 0] == 42).any():
            raise RuntimeError("a fault of the program")
        return super().score(decoded)


def test_a_row_on_which_the_program_fails_is_a_dead_letter_alone(decoder, models, make_record):
    """Its neighbours in the record are scored."""
    model, x = models.boosting(), models.boosting().x[:5].copy()
    x[3, 0] = 42
    scorer = _Failing.load(model.onnx, decoder.contract, version=1, sha256="ab" * 32)

    scored = score_batch([make_record(stream(columns_of(x)))], decoder, lambda _: scorer, now_s=7.0)

    assert list(by_headers(scored.predictions)) == [(17, 0), (17, 1), (17, 2), (17, 4)]
    [(place, letter)] = by_headers(scored.dead_letters).items()
    assert (place, dict(letter.headers)["reason"], rows_of(letter.value)[0]["id"]) == (
        (17, 3),
        b"scoring_failed",
        "e-3",
    )


def test_a_contract_says_how_its_records_are_encoded(make_contract):
    """JSON unless it says Arrow; released models fit either way, and anything else is refused with an example."""
    plain, arrow = (make_contract('{ name = "a" }', encoding=encoding) for encoding in (None, '"arrow"'))

    assert (plain.encoding, arrow.encoding) == ("json", "arrow")
    assert plain.model_sha256 == arrow.model_sha256
    with pytest.raises(
        Exception, match="encoding: expected one of json, arrow, got 'avro'; for example: encoding = \""
    ):
        make_contract('{ name = "a" }', encoding='"avro"')
    assert isinstance(arrow, Contract)
