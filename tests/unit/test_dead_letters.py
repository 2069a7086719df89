"""Dead letters: original bytes, and headers for programs and people."""

import hashlib

from app.errors import Reason
from app.features import dead_letter


def test_a_dead_letter_has_the_original_and_says_why_and_where_from(make_record):
    """Key, value and Kafka timestamp are the source record's."""
    record = make_record(b"\xff not JSON", key=b"k\x00")
    letter = dead_letter(record, Reason.NOT_JSON, "not JSON: größer\nals", failed_at_s=1700000000.5)

    assert (letter.key, letter.value, letter.timestamp_ms) == (b"k\x00", b"\xff not JSON", 1_700_000_000_250)
    assert letter.headers == [
        ("reason", b"not_json"),
        ("error", rb"not JSON: gr\xf6\xdfer\nals"),
        ("source-topic", b"toy.features"),
        ("source-partition", b"3"),
        ("source-offset", b"17"),
        ("failed-at", b"1700000000.5"),
    ]


def test_a_value_too_large_to_copy_is_cut_and_says_what_it_was(make_record):
    """Size and digest are those of the whole value; the key counts too."""
    value = bytes(range(200))
    letter = dead_letter(make_record(value, key=b"12345"), Reason.OVERSIZED, "", failed_at_s=0, max_bytes=100)

    assert (letter.key, letter.value) == (b"12345", value[:95])
    assert letter.headers[6:] == [
        ("truncated", b"true"), ("size", b"200"), ("sha256", hashlib.sha256(value).hexdigest().encode())
    ]  # fmt: skip


def test_a_key_too_large_for_any_broker_is_cut_as_well(make_record):
    """Otherwise the letter could never be sent and its partition would stand still."""
    letter = dead_letter(make_record(None, key=b"k" * 300), Reason.NULL_VALUE, "", failed_at_s=0, max_bytes=100)

    assert (letter.key, letter.value) == (b"k" * 100, None)
    assert ("truncated", b"true") in letter.headers


def test_what_fits_is_not_cut(make_record):
    """The bound itself still fits."""
    letter = dead_letter(make_record(b"x" * 90, key=b"k" * 10), Reason.NOT_JSON, "", failed_at_s=0, max_bytes=100)

    assert len(letter.value) == 90
    assert len(letter.headers) == 6


def test_a_tombstone_stays_one(make_record):
    """A record without value gives a letter without value."""
    assert dead_letter(make_record(None), Reason.NULL_VALUE, "", failed_at_s=0).value is None


def test_a_long_error_is_cut(make_record):
    """Headers stay small whatever a record says."""
    letter = dead_letter(make_record(b""), Reason.NOT_JSON, "é" * 1000, failed_at_s=0)

    assert len(dict(letter.headers)["error"]) == 500
