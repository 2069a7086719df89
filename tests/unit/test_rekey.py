"""Predictions and labels on their way to the ledger topic, and what is read of it there."""

from __future__ import annotations

import json
from functools import partial

from app.errors import Reason
from app.feedback import decode_ledger, rekey_labels, rekey_predictions
from tests.makers import Given, a_contract

CONTRACT = a_contract(classes=(0, 1), join="by-id")
SOURCE = [("source-topic", b"p.features"), ("source-partition", b"1"), ("source-offset", b"40")]
keyed = partial(Given, key=b"entity")


def prediction(**changes):
    """The value of a prediction."""
    fields = {"id": "e1", "version": 2, "prediction": 1.0, "score": 0.75, "event_at": 1.7e9, "model": "p"} | changes
    return json.dumps(fields).encode()


def only(rekeyed):
    """The only record that was made."""
    assert not rekeyed.rejected
    ((_, (record,)),) = rekeyed.records.items()
    return record


def test_a_prediction_is_made_small_and_keyed_by_its_id():
    """Key, value, timestamp and headers are those that docs/contracts.md names; the class is the contract's."""
    record = only(rekey_predictions([keyed(prediction(), headers=[*SOURCE, ("model-sha256", b"f" * 64)])], CONTRACT, 4))

    assert record.key == b"e1"
    assert json.loads(record.value) == {"version": 2, "prediction": 1, "event_at": 1.7e9, "score": 0.75}
    assert record.timestamp_ms == 1_700_000_000_250
    assert dict(record.headers) == {
        "source-topic": b"p.predictions",
        "source-partition": b"3",
        "source-offset": b"7",
        "event-topic": b"p.features",
        "event-partition": b"1",
        "event-offset": b"40",
    }


def test_a_prediction_of_another_program_is_its_own_event():
    """Without source headers there are no event headers, and its coordinates are its place on `predictions`."""
    made = [only(rekey_predictions([keyed(prediction(), offset=offset)], CONTRACT, 1)) for offset in (7, 8)]
    assert not any(name.startswith("event-") for name, _ in made[0].headers)

    copies = [
        Given(m.value, at, m.timestamp_ms, "p.ledger", 0, m.key, m.headers) for at, m in enumerate([*made, made[0]])
    ]
    seven, eight, again = decode_ledger(copies, CONTRACT).predictions
    assert seven.coordinates == again.coordinates != eight.coordinates


def test_a_labels_time_is_told_whether_it_was_or_not():
    """`at` is the label's, else its record's timestamp."""
    told = keyed(b'{"id": 5, "label": 1, "at": 3.5, "more": "x"}', topic="p.labels")
    silent = Given(b'{"id": "5", "label": 0}', topic="p.labels", offset=8, key=None)
    ((_, records),) = rekey_labels([told, silent], CONTRACT, 4).records.items()

    assert [(record.key, json.loads(record.value)) for record in records] == [
        (b"5", {"label": 1, "at": 3.5}),
        (b"5", {"label": 0, "at": 1_700_000_000.25}),
    ]


def test_what_is_bad_is_refused_with_its_place_in_the_batch():
    """The good ones around it are re-keyed."""
    batch = [keyed(b'{"id": "a", "label": 1}'), keyed(b"{"), keyed(b'{"id": "c", "label": 2}'), keyed(None)]
    made = rekey_labels(batch, CONTRACT, 4)

    assert [(each.position, each.reason) for each in made.rejected] == [
        (1, Reason.NOT_JSON),
        (2, Reason.BAD_LABEL),
        (3, Reason.NULL_VALUE),
    ]
    assert made.n == 1


def test_an_id_as_large_as_a_record_is_refused_and_not_sent():
    """A key and a value that no broker takes would stop the partition for ever."""
    made = rekey_labels([keyed(json.dumps({"id": "x" * 1_000_000, "label": 1}).encode())], CONTRACT, 4)

    assert [each.reason for each in made.rejected] == [Reason.OVERSIZED]
    assert made.records == {}


def test_what_somebody_else_wrote_on_the_ledger_topic_is_refused():
    """No key, no value, no source, another topic's, nonsense, and a number that is no class."""
    source = [("source-topic", b"p.labels"), ("source-partition", b"0"), ("source-offset", b"1")]
    events = [
        Given(b'{"label": 1, "at": 1.0}', key=None, headers=source),
        keyed(None, headers=source),
        keyed(b'{"label": 1, "at": 1.0}'),
        keyed(b'{"label": 1, "at": 1.0}', headers=SOURCE),
        keyed(b'{"label": 1', headers=source),
        keyed(b'{"label": 2, "at": 1.0}', headers=source),
        keyed(prediction(), headers=[("source-topic", b"p.predictions")]),
        keyed(b'{"label": 1, "at": 1.0}', headers=source),
    ]
    batch = decode_ledger(events, CONTRACT)

    assert [each.position for each in batch.rejected] == [0, 1, 2, 3, 4, 5, 6]
    assert (len(batch.labels), batch.predictions) == (1, [])
