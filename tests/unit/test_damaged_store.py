"""A store with damage that shows only when it is read."""

from __future__ import annotations

import pytest

from app.feedback.store import CorruptStore, RocksdictStore, delete_store

KEYS = [b"%06d" % n for n in range(5000)]


def filled(path):
    """A store whose keys lie in files, closed."""
    store = RocksdictStore(path)
    store.write(dict.fromkeys(KEYS, b"v" * 20), [])
    store.close()
    RocksdictStore(path).close()  # what the log held is in a file now


def damage(path):
    """Change bytes in the middle of each file of entries."""
    for file in path.glob("*.sst"):
        content = bytearray(file.read_bytes())
        content[len(content) // 4 : len(content) // 4 + 64] = bytes(64)
        file.write_bytes(content)


def test_damage_that_was_read_is_known_when_the_store_is_opened_again(tmp_path):
    """The first who reads it fails, whoever opens it next is told at once, and a new store is as good as any."""
    path = tmp_path / "ledger"
    filled(path)
    damage(path)
    store = RocksdictStore(path)
    with pytest.raises(CorruptStore, match="orruption"):
        store.get_many(KEYS)
    store.close()

    with pytest.raises(CorruptStore, match="orruption"):
        RocksdictStore(path)
    delete_store(path)
    again = RocksdictStore(path)
    assert again.get_many(KEYS[:1]) == [None]
    again.close()


def test_a_scan_over_damage_fails_instead_of_ending_early(tmp_path):
    """An iterator that meets damage ends as if there were nothing more: labels would never become orphans."""
    path = tmp_path / "ledger"
    filled(path)
    damage(path)
    store = RocksdictStore(path)

    with pytest.raises(CorruptStore, match="orruption"):
        store.scan(KEYS[0], KEYS[-1] + b"x", len(KEYS) + 1)
    store.close()


def test_damage_that_shows_at_the_opening_is_not_taken_for_a_lock(tmp_path):
    """RocksDB tells of a "block checksum mismatch": the store is made anew, and workers do not end over and over."""
    path = tmp_path / "ledger"
    filled(path)
    for file in path.glob("*.sst"):
        content = bytearray(file.read_bytes())
        content[-100:-84] = bytes(16)  # the index of the blocks
        file.write_bytes(content)

    with pytest.raises(CorruptStore, match="block checksum mismatch"):
        RocksdictStore(path)


def test_a_store_that_is_open_elsewhere_is_not_taken_for_damaged(tmp_path):
    """Nobody may delete what another still writes to."""
    path = tmp_path / "ledger"
    store = RocksdictStore(path)
    with pytest.raises(Exception, match="lock hold by current process") as caught:
        RocksdictStore(path)
    assert not isinstance(caught.value, CorruptStore)
    store.close()
