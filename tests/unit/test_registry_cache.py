"""Model bytes on disk."""

from __future__ import annotations

import os

import pytest

from app.registry.cache import ModelCache
from app.registry.chunks import digest_of


def age(cache, data, seconds):
    """Have the file of *data* look as if it was last read *seconds* ago."""
    path = cache.directory / f"{digest_of(data)}.onnx"
    at_s = path.stat().st_mtime - seconds
    os.utime(path, (at_s, at_s))


@pytest.fixture
def cache(tmp_path):
    """A cache with room for ten bytes."""
    return ModelCache(tmp_path / "models", max_bytes=10)


def put(cache, data):
    """Keep *data* under its digest."""
    cache.put(digest_of(data), data)


def test_what_was_kept_is_read_back(cache):
    """Another process with the same directory reads it too."""
    put(cache, b"abcd")
    assert cache.get(digest_of(b"abcd")) == b"abcd"
    assert ModelCache(cache.directory).get(digest_of(b"abcd")) == b"abcd"
    assert cache.get(digest_of(b"other")) is None


def test_a_damaged_file_is_not_believed(cache):
    """Bytes that do not have the digest of their name are removed and reported as not there."""
    put(cache, b"abcd")
    path = cache.directory / f"{digest_of(b'abcd')}.onnx"
    path.write_bytes(b"abc")
    assert cache.get(digest_of(b"abcd")) is None
    assert not path.exists()


def test_the_least_recently_read_goes_first(cache):
    """Reading counts as use; what was just put stays."""
    put(cache, b"aaaa")
    put(cache, b"bbbb")
    age(cache, b"aaaa", 50)
    age(cache, b"bbbb", 100)
    assert cache.get(digest_of(b"bbbb")) == b"bbbb"
    put(cache, b"cccc")
    assert cache.get(digest_of(b"aaaa")) is None
    assert cache.get(digest_of(b"bbbb")) == b"bbbb"
    assert cache.get(digest_of(b"cccc")) == b"cccc"


def test_bytes_larger_than_the_cache_are_not_kept(cache):
    """They would only drive out all others."""
    put(cache, b"aaaa")
    put(cache, b"x" * 11)
    assert cache.get(digest_of(b"x" * 11)) is None
    assert cache.get(digest_of(b"aaaa")) == b"aaaa"


def test_what_a_killed_process_left_half_written_is_cleared_away(cache):
    """An abandoned partial file goes after an hour; a fresh one may belong to a process that still writes."""
    put(cache, b"a")
    old, fresh = cache.directory / ".incoming-old", cache.directory / ".incoming-new"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    put(cache, b"b")
    assert not old.exists()
    assert fresh.exists()


def test_a_failed_write_leaves_nothing_behind(cache, monkeypatch):
    """A full disk raises OSError, and no partial file stays."""

    def refuse(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        put(cache, b"abcd")
    assert list(cache.directory.iterdir()) == []
