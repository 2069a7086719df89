"""Dead letters as the command line reads them, whoever wrote them."""

from __future__ import annotations

import pytest

from app.cli.letters import DeadLetter, bytes_as_json, bytes_for_people
from app.cli.output import when
from app.errors import Reason
from app.features import dead_letter
from tests.makers import Given

SOURCES = {"fraud.features": {0, 1}, "fraud.labels": {0, 1}}


def letter(*, topic="fraud.features", partition=1, value=b"{", **options):
    """A dead letter as a worker makes it, read back from its topic."""
    source = Given(value, 42, 1_500, topic, partition, b"k")
    made = dead_letter(source, Reason.NOT_JSON, "no JSON", failed_at_s=2.5, **options)
    return DeadLetter.of(Given(made.value, 7, made.timestamp_ms, "fraud.dead-letters", 1, made.key, made.headers))


def test_a_dead_letter_tells_where_it_is_and_where_it_came_from():
    """All that a worker wrote is read back."""
    assert letter().described() == {
        "partition": 1,
        "offset": 7,
        "timestamp": 1.5,
        "reason": "not_json",
        "error": "no JSON",
        "source_topic": "fraud.features",
        "source_partition": 1,
        "source_offset": 42,
        "failed_at": 2.5,
    }
    assert letter().obstacle(SOURCES) is None


def test_a_dead_row_tells_which_it_was_and_carries_itself_alone():
    """Of a record with rows the others had outcomes of their own: only the dead one goes back."""
    made = dead_letter(Given(b"all rows", 42), Reason.WRONG_TYPE, "no", failed_at_s=2.5, row=3, value=b"one row")

    assert made.value == b"one row"
    assert letter(row=3).described()["source_row"] == 3
    cut = dead_letter(
        Given(b"all", 42, topic="fraud.features", partition=1), Reason.WRONG_TYPE, "no", failed_at_s=2.5, row=3,
        value=b"x" * 100, max_bytes=10,
    )  # fmt: skip
    read = DeadLetter.of(Given(cut.value, 7, partition=1, headers=cut.headers))
    assert (read.obstacle(SOURCES) or "").endswith("the whole is at fraud.features 1:42 row 3, if it is still there")


def test_a_cut_dead_letter_is_not_replayed():
    """Half a record is not the record; the message says where the whole one is."""
    obstacle = letter(value=b"x" * 100, max_bytes=10).obstacle(SOURCES)

    assert obstacle == (
        "1:7: only 9 of its 100 bytes were kept; the whole is at fraud.features 1:42, if it is still there"
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"topic": "fraud.models"}, "came from fraud.models, but the contract's topics are fraud.features"),
        ({"partition": 2}, "topic fraud.features has no partition 2"),
    ],
)
def test_a_dead_letter_goes_back_to_the_topics_of_its_pipeline_only(given, text):
    """A header written by a stranger cannot send bytes to another topic, such as the one of the models."""
    assert text in letter(**given).obstacle(SOURCES)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("source-topic", b"fraud.features"), ("source-partition", b"-1"), ("source-offset", b"x")],
        [("reason", b"\xff"), ("failed-at", b"soon")],
    ],
)
def test_a_record_that_is_no_dead_letter_does_no_harm(headers):
    """Anybody may write to a topic: what lacks our headers is shown, and not replayed."""
    stranger = DeadLetter.of(Given(None, 1, partition=0, headers=headers))

    assert stranger.described()["offset"] == 1
    assert stranger.obstacle(SOURCES) == "0:1: does not say where it came from"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(null)"),
        (b'{"a":1}', '{\n  "a": 1\n}'),
        (b"plain", "plain"),
        (b"\xff\x00", "b'\\xff\\x00'"),
        (b"\x1b[2Jgone", "\\x1b[2Jgone"),
        ('"\u009b2J"'.encode(), '"\\x9b2J"'),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_bytes_are_shown_without_what_a_terminal_would_obey(value, shown):
    """JSON is indented, text is text, and control characters are written out."""
    assert bytes_for_people(value) == shown


def test_bytes_travel_in_json():
    """Text as text, anything else in base64."""
    assert [bytes_as_json(each) for each in (None, b"a", b"\xff")] == [None, "a", {"base64": "/w=="}]


def test_a_time_beyond_the_calendar_is_shown_as_a_number():
    """An activation may stand at any number."""
    assert when(1e300) == "1e+300"
