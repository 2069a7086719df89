"""Model bytes in pieces and back."""

from __future__ import annotations

import random

import pytest

from app.errors import Refusal, RejectedRelease
from app.records import Manifest
from app.registry.admission import Admission
from app.registry.chunks import ChunkCollector, chunk_count, chunk_key, digest_of, split, verify

MODEL = random.Random(1).randbytes(1_300_000)


def manifest_of(model, **changes):
    """The manifest that *model* should have."""
    fields = {"sha256": digest_of(model), "size": len(model), "chunks": chunk_count(len(model))}
    return Manifest(**{"pipeline": "p", "version": 4, "created_at": 0.0, **fields, **changes})


def records_of(model):
    """The chunk records of *model*."""
    return [(chunk_key(digest_of(model), index), piece) for index, piece in enumerate(split(model))]


def test_pieces_fit_and_join_to_the_whole():
    """Three pieces below the usual message limit; in any order they give the model back."""
    records = records_of(MODEL)
    assert len(records) == 3
    assert max(len(piece) for _, piece in records) <= 512 * 1024
    collector = ChunkCollector(manifest_of(MODEL))
    for key, value in reversed(records):
        assert not collector.complete
        collector.add(key, value)
    assert collector.complete
    assert collector.join() == MODEL


def test_a_missing_piece_is_named():
    """MISSING_CHUNK tells how many lack and the key of the first."""
    collector = ChunkCollector(manifest_of(MODEL))
    collector.add(*records_of(MODEL)[0])
    with pytest.raises(RejectedRelease, match=rf"2 of 3 chunks .* {digest_of(MODEL)}/1") as caught:
        collector.join()
    assert caught.value.refusal is Refusal.MISSING_CHUNK


def test_changed_bytes_are_refused():
    """One byte changed on the way is WRONG_CHECKSUM."""
    records = records_of(MODEL)
    records[1] = (records[1][0], b"\0" + records[1][1][1:])
    collector = ChunkCollector(manifest_of(MODEL))
    for key, value in records:
        collector.add(key, value)
    with pytest.raises(RejectedRelease, match="sha256") as caught:
        collector.join()
    assert caught.value.refusal is Refusal.WRONG_CHECKSUM


def test_more_bytes_than_announced_are_refused_before_they_pile_up():
    """A manifest that announces 10 bytes never has a reader hold more than that."""
    collector = ChunkCollector(manifest_of(MODEL, size=10))
    with pytest.raises(RejectedRelease) as caught:
        collector.add(*records_of(MODEL)[0])
    assert caught.value.refusal is Refusal.WRONG_CHECKSUM


def test_fewer_bytes_than_announced_are_refused():
    """A whole of another size than the manifest says is WRONG_CHECKSUM, even with the right digest."""
    with pytest.raises(RejectedRelease, match="hold 3 bytes, the manifest says 4"):
        verify(b"abc", manifest_of(b"abc", size=4))


def test_other_records_are_passed_over():
    """Pieces of other models, indexes that the manifest does not know, and foreign keys do not matter."""
    sha = digest_of(b"ab")
    collector = ChunkCollector(manifest_of(b"ab"))
    for key in (None, b"x", b"ff/0", f"{sha}/1".encode(), f"{sha}/-1".encode(), f"{sha}/00".encode()):
        collector.add(key, b"zz")
    collector.add(f"{sha}/0".encode(), b"ab")
    assert collector.join() == b"ab"


def test_the_first_or_the_latest_record_of_a_key_counts():
    """From the hint on the first counts; over the whole topic the latest, as after compaction, tombstones included."""
    sha = digest_of(b"ab")
    key = f"{sha}/0".encode()
    first, latest = ChunkCollector(manifest_of(b"ab")), ChunkCollector(manifest_of(b"ab"), latest_wins=True)
    for collector in (first, latest):
        collector.add(key, b"ab")
        collector.add(key, b"xy")
    assert first.join() == b"ab"
    with pytest.raises(RejectedRelease):
        latest.join()
    gone = ChunkCollector(manifest_of(b"ab"), latest_wins=True)
    gone.add(key, b"ab")
    gone.add(key, None)
    assert not gone.complete


def test_the_manifest_alone_decides_size_and_contract():
    """TOO_LARGE and CONTRACT_MISMATCH need no bytes; a manifest that names no contract is not judged by it."""
    admission = Admission(contract_sha256="a" * 64, max_model_bytes=100)
    admission.judge(manifest_of(b"ab"))
    admission.judge(manifest_of(b"ab", contract_sha256="a" * 64))
    for changes, refusal in (
        ({"size": 101}, Refusal.TOO_LARGE),
        ({"contract_sha256": "b" * 64}, Refusal.CONTRACT_MISMATCH),
    ):
        with pytest.raises(RejectedRelease) as caught:
            admission.judge(manifest_of(b"ab", **changes))
        assert caught.value.refusal is refusal
