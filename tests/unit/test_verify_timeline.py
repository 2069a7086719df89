"""Which version is in force when, by the checker's own reading of the models topic."""

import json

import pytest

from verify.models import ModelBytes, read_verdicts
from verify.read import Record
from verify.timeline import Manifest, ever_in_force, in_force, read_models, valid_activations


def models(*entries):
    """The models topic: ("release", version) or ("activation", sequence, version, effective_from_s, stamped_s)."""
    records = []
    for offset, (kind, number, *rest) in enumerate(entries):
        stamped_s = rest[2] if kind == "activation" else 0
        content = {
            "pipeline": "p",
            "version": number,
            "sha256": f"{number:064x}",
            "size": 1,
            "chunks": 1,
            "created_at": 0.0,
        }
        if kind == "activation":
            content = {"sequence": number, "version": rest[0], "effective_from_s": rest[1], "author": "me"}
        key, value = f"{kind}/{number}".encode(), json.dumps(content).encode()
        records.append(Record("p.models", 0, offset, stamped_s * 1000, key, value))
    return read_models(records, "p")


def versions(topic, *times_s, accepted=(1, 2, 3)):
    """The version in force at each time."""
    valid = valid_activations(topic, set(accepted))
    return [in_force(valid, at_s) for at_s in times_s]


# t:   -inf ...... v1 ...... 100 ...... v2 ......
def test_the_first_activation_holds_from_minus_infinity():
    """Neither its lead nor its point of time is judged; the next ones hold from theirs."""
    topic = models(("release", 1), ("release", 2), ("activation", 1, 1, 50.0, 60), ("activation", 2, 2, 100.0, 98))

    assert versions(topic, -1e9, 0, 99.999, 100, 1e9) == [1, 1, 1, 2, 2]


def test_nothing_is_in_force_without_a_valid_activation():
    """An activation of a version that nobody released, or of one released after it, counts for nothing."""
    assert versions(models(("activation", 1, 1, 0.0, 0), ("release", 1)), 5) == [None]


def test_an_activation_with_too_little_lead_counts_for_nothing():
    """It must take effect 2 s after its own Kafka timestamp at the earliest."""
    start = (("release", 1), ("release", 2), ("activation", 1, 1, 0.0, 0))

    assert versions(models(*start, ("activation", 2, 2, 10.0, 9)), 11) == [1]
    assert versions(models(*start, ("activation", 2, 2, 10.0, 8)), 11) == [2]


def test_of_a_sequence_the_first_by_offset_stands():
    """A second record of the sequence is ignored, also where the first counts for nothing."""
    start = (("release", 1), ("release", 2), ("release", 3), ("activation", 1, 1, 0.0, 0))

    assert versions(models(*start, ("activation", 2, 2, 10.0, 1), ("activation", 2, 3, 10.0, 1)), 11) == [2]
    assert versions(models(*start, ("activation", 2, 2, 10.0, 9), ("activation", 2, 3, 10.0, 1)), 11) == [1]


def test_the_highest_sequence_wins_not_the_latest_point_of_time():
    """An activation of a lower sequence has no effect while one of a higher sequence is in force."""
    topic = models(
        *(("release", version) for version in (1, 2, 3)),
        ("activation", 1, 1, 0.0, 0),
        ("activation", 3, 3, 10.0, 1),
        ("activation", 2, 2, 20.0, 1),
    )

    assert versions(topic, 5, 15, 25) == [1, 3, 3]


def test_a_release_that_is_not_accepted_is_passed_over():
    """The first activation of an accepted release then holds from minus infinity."""
    topic = models(("release", 1), ("release", 2), ("activation", 1, 1, 0.0, 0), ("activation", 2, 2, 100.0, 99))

    assert versions(topic, 0, 200, accepted=(2,)) == [2, 2]
    assert versions(topic, 0, accepted=()) == [None]


def test_a_reader_of_a_beginning_may_have_known_less():
    """Every version that some beginning of the topic puts in force."""
    topic = models(
        *(("release", version) for version in (1, 2, 3)),
        ("activation", 1, 1, 0.0, 0),
        ("activation", 2, 2, 10.0, 1),
        ("activation", 3, 3, 500.0, 1),
    )

    assert ever_in_force(valid_activations(topic, {1, 2, 3}), 50) == {1, 2}


def test_what_is_no_release_and_no_activation_counts_for_nothing():
    """Malformed records are listed; tombstones and other keys are passed over."""
    good = json.dumps(
        {"pipeline": "p", "version": 1, "sha256": "a" * 64, "size": 1, "chunks": 1, "created_at": 0.0}
    ).encode()
    bad = [(b"release/1", b"{"), (b"release/2", good), (b"activation/1", b"[]"), (b"activation/1", b'{"sequence": 1}')]
    rest = [(b"release/1", None), (b"note", b"{"), (None, b"x"), (b"release/1", good.replace(b'"p"', b'"q"'))]
    records = [Record("p.models", 0, offset, 0, *pair) for offset, pair in enumerate(bad + rest)]

    topic = read_models(records, "p")

    assert (topic.manifests, topic.activations) == ({}, [])
    assert [where for where, _ in topic.unreadable] == [f"p.models[0]@{offset}" for offset in (0, 1, 2, 3, 7)]


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([b"ab"], "1 of 2 chunks"),
        ([b"ab", b""], "2 bytes instead of 3"),
        ([b"ab", b"d"], "sha256 is"),
    ],
)
def test_bytes_that_do_not_fit_their_manifest_are_told(chunks, told, tmp_path):
    """A chunk is missing, the size is another, or the digest is."""
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of abc
    store = ModelBytes(tmp_path)
    records = [Record("b", 0, n, 0, f"{sha256}/{n}".encode(), chunk) for n, chunk in enumerate(chunks)]
    store.take(records, {sha256})

    with pytest.raises(ValueError, match=told):
        store.whole(Manifest(1, sha256, 3, 2, 0))


def test_the_latest_record_of_a_chunk_counts(tmp_path):
    """Chunks may come in any order and again; other digests and keys are passed over."""
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    pieces = [("1", b"x"), ("0", b"ab"), ("2", b"zz"), ("2", None), ("1", b"c"), ("x", b"")]
    records = [Record("b", 0, n, 0, f"{sha256}/{key}".encode(), piece) for n, (key, piece) in enumerate(pieces)]
    store = ModelBytes(tmp_path)
    store.take([*records, Record("b", 0, 9, 0, b"other/0", b"y")], {sha256})

    assert store.whole(Manifest(1, sha256, 3, 2, 0)) == b"abc"


def test_what_workers_said_of_versions_is_read():
    """Accepted and refused; other events and what is malformed are passed over."""
    values = [
        b'{"event": "accepted", "version": 1}',
        b'{"event": "refused", "version": 2, "reason": "not_onnx"}',
        b'{"event": "activated", "version": 3}',
        b'{"event": "refused", "version": "4"}',
        b"[]",
        b"{",
    ]

    assert read_verdicts(Record("e", 0, n, 0, b"p", value) for n, value in enumerate(values)) == ({1}, {2})
