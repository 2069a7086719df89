"""A record on which the program itself fails is a dead letter; its neighbours are scored, and the worker goes on."""

import json
import logging

import numpy as np
import pytest

from app.errors import Reason
from app.features import BatchDecoder
from app.scoring import Scorer, score_batch
from app.scoring import isolation as isolation_module
from app.scoring.isolation import isolated

BAD = (0, 3, 7)


class FailingDecoder(BatchDecoder):
    """A decoder with a bug: it raises on every batch that holds an event of more than 100."""

    def decode(self, records):
        """As ever, but for the bug."""
        for record in records:
            if record.value != b"{" and json.loads(record.value)["a"] > 100:
                raise ZeroDivisionError(f"cannot divide by {record.offset}")
        return super().decode(records)


class FailingScorer(Scorer):
    """A scorer with a bug, in `at`: `score` raises for a 13, `answer` gives a class that cannot be written."""

    at = "score"

    def score(self, decoded):
        """As ever, but for the bug."""
        bad = [index for index, value in enumerate(decoded.column("a").reshape(-1)) if value == 13]
        if bad and self.at == "score":
            raise IndexError("tuple index out of range")
        scores = super().score(decoded)
        for index in bad:
            scores.predictions[index] = object()
        return scores


@pytest.fixture(autouse=True)
def _forget_what_was_told(monkeypatch):
    monkeypatch.setattr(isolation_module, "_told", set())


@pytest.fixture
def toy(make_contract, models):
    """A contract of one number, and a scorer class bound to a model that adds a tenth."""
    contract = make_contract('{ name = "a" }', id_field='"id"')
    model = models.graph(
        [("Add", ["a", "bias"], ["out"], {})],
        {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", 1])}, constants={"bias": np.float32([[0.1]])},
    )  # fmt: skip
    return contract, lambda kind: kind.load(model, contract, version=5, sha256="ab" * 32)


@pytest.fixture
def batch(make_record):
    """Eleven records, of which those at BAD have the given value and one is no JSON."""

    def make(bad):
        values = [{"id": f"e{at}", "a": bad if at in BAD else at / 20} for at in range(10)]
        return [make_record(value, offset=100 + at) for at, value in enumerate(values)] + [
            make_record(b"{", offset=110)
        ]

    return make


def offsets(made):
    """The source offsets of outcomes."""
    return [int(dict(record.headers)["source-offset"]) for record in made]


def errors_of(scored):
    """Offset and error of each dead letter."""
    headers = [dict(letter.headers) for letter in scored.dead_letters]
    return {int(each["source-offset"]): each["error"].decode() for each in headers}


def test_a_decoder_that_fails_on_a_record_costs_that_record_alone(toy, batch, caplog):
    """Dead letters name the error, neighbours are scored in order, and the log has the traceback once."""
    contract, scorer = toy
    good = scorer(Scorer)
    with caplog.at_level(logging.ERROR):
        scored = score_batch(batch(101), FailingDecoder(contract), lambda _: good, now_s=1.0)

    assert offsets(scored.predictions) == [101, 102, 104, 105, 106, 108, 109]
    assert offsets(scored.dead_letters) == [100, 103, 107, 110]
    assert scored.reasons == {Reason.SCORING_FAILED: 3, Reason.NOT_JSON: 1}
    assert errors_of(scored)[103] == "decoding failed unexpectedly: ZeroDivisionError: cannot divide by 103"
    [logged] = caplog.records
    assert "toy.features-3 at 100" in logged.message
    assert logged.exc_info[0] is ZeroDivisionError
    assert (scored.versions, scored.failed) == ({5: 7}, {})


@pytest.mark.parametrize(("at", "error"), [("score", "IndexError: tuple index"), ("answer", "TypeError: Encoding")])
def test_a_scorer_that_fails_on_a_record_costs_that_record_alone(toy, batch, caplog, monkeypatch, at, error):
    """Whether it raises or answers what cannot be written, the neighbours are scored."""
    contract, scorer = toy
    monkeypatch.setattr(FailingScorer, "at", at)
    failing = scorer(FailingScorer)
    with caplog.at_level(logging.ERROR):
        scored = score_batch(batch(13), BatchDecoder(contract), lambda _: failing, now_s=1.0)

    assert offsets(scored.predictions) == [101, 102, 104, 105, 106, 108, 109]
    assert scored.reasons == {Reason.SCORING_FAILED: 3, Reason.NOT_JSON: 1}
    assert errors_of(scored)[107].startswith("version 5: ")
    assert error in errors_of(scored)[107]
    assert (scored.versions, scored.failed) == ({5: 7}, {5: 3})
    assert len(caplog.records) == 1


def test_predictions_beside_an_offender_are_those_without_it(toy, batch):
    """What is tried in parts gives what it gives as a whole."""
    contract, scorer = toy
    failing, plain = scorer(FailingScorer), scorer(Scorer)
    records = batch(13)
    scored = score_batch(records, BatchDecoder(contract), lambda _: failing, now_s=1.0)
    rest = [record for at, record in enumerate(records) if at not in BAD]
    assert scored.predictions == score_batch(rest, BatchDecoder(contract), lambda _: plain, now_s=1.0).predictions


def test_memory_that_is_not_there_is_no_records_fault(toy, batch, monkeypatch):
    """It goes up, and no record becomes a dead letter for it; so does a scorer that cannot be had."""
    contract, scorer = toy
    good = scorer(Scorer)

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(Scorer, "score", no_memory)
    with pytest.raises(MemoryError):
        score_batch(batch(1), BatchDecoder(contract), lambda _: good, now_s=1.0)
    with pytest.raises(LookupError):
        score_batch(batch(1), BatchDecoder(contract), {}.__getitem__, now_s=1.0)


@pytest.mark.parametrize("bad", [set(), {0}, {6}, {2, 3}, set(range(7))])
def test_parts_are_in_order_and_whole(bad):
    """Every position comes once, offenders alone."""

    def work(positions):
        if bad & set(positions):
            raise RuntimeError(str(positions))
        return list(positions)

    parts = list(isolated(work, range(7)))
    assert [at for positions, _ in parts for at in positions] == list(range(7))
    assert {positions[0] for positions, answer in parts if isinstance(answer, RuntimeError)} == bad
    assert all(len(positions) == 1 for positions, answer in parts if isinstance(answer, RuntimeError))


def test_a_fault_that_no_record_has_goes_up():
    """Work that fails for nothing at all is not to be blamed on a record."""

    def work(_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(isolated(work, range(0)))
