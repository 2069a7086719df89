"""Where a ledger remembers: a sorted map of small byte strings, written in whole batches.

`DictStore` holds it in memory; `RocksdictStore` in a directory per pipeline and partition. A batch is written whole
or not at all, also when the process is killed; a power cut may lose the last ones, and an older state is as good
(docs/feedback.md, "Exactly once").
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from bisect import bisect_left
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import FaustOnnxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


LOCAL_FAULTS = {
    os.strerror(code): advice
    for codes, advice in (
        ((errno.ENOSPC, errno.EDQUOT), "make room there, or give FAUST_ONNX_STATE_DIR another folder"),
        ((errno.EFBIG,), "raise the limit of the size of a file (`ulimit -f`)"),
        ((errno.EMFILE, errno.ENFILE), "raise the limit of open files (`ulimit -n`, LimitNOFILE in systemd)"),
        ((errno.EACCES, errno.EPERM, errno.EROFS), "the worker must be able to write there"),
        ((errno.EIO,), "the disk fails: give FAUST_ONNX_STATE_DIR a folder on another"),
        ((errno.ENOMEM,), "the machine has no memory left"),
    )
    for code in codes
}
"""What RocksDB says when the machine is at fault and not the state, with what to do about it."""

_LOCKED = ("While lock file", "lock hold by current process")
"""What RocksDB says of a store that is open elsewhere; "block" in a text of damage is another word."""

_DAMAGED = "DAMAGED"
"""A file in the directory of a store in which damage was found: not to be opened any more."""


class CorruptStore(FaustOnnxError):
    """The local state cannot be used: delete it and open again; the ledger is then rebuilt from the topics."""


class StoreUnavailable(FaustOnnxError):
    """The local state may be good, but this machine cannot read or write it now; deleting it would not help."""


def _fault(path: Path, error: Exception) -> FaustOnnxError:
    """The fault behind rocksdict's bare Exception with RocksDB's text."""
    text = str(error)
    for told, advice in LOCAL_FAULTS.items():
        if told in text:
            return StoreUnavailable(f"{path}: {text}; {advice}, then start the worker again: nothing was lost")
    if isinstance(error, OSError):  # not of RocksDB: the directory itself cannot be made
        return StoreUnavailable(f"{path}: {text}; the worker must be able to make directories there")
    return CorruptStore(f"{path}: {text}; delete the directory")


class Store(Protocol):
    """A sorted map of bytes to bytes."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none."""

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """The first *limit* items with start <= key < stop, in order of the keys."""

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        """Put and delete all of it, or nothing."""

    def close(self) -> None:
        """Release what is held; nothing may be called afterwards."""


class DictStore:
    """A store in memory."""

    def __init__(self, items: Mapping[bytes, bytes] | None = None) -> None:
        self.items = dict(items or {})

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none."""
        return [self.items.get(key) for key in keys]

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """The first *limit* items with start <= key < stop, in order of the keys."""
        keys = sorted(self.items)
        first = bisect_left(keys, start)
        return [(key, self.items[key]) for key in keys[first : first + limit] if key < stop]

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        """Put and delete all of it."""
        self.items.update(puts)
        for key in deletes:
            self.items.pop(key, None)

    def close(self) -> None:
        """Nothing is held."""


class RocksdictStore:
    """A store in the RocksDB directory *path*, created if it is not there.

    CorruptStore if it cannot be read, StoreUnavailable if the machine does not let it; so may every method.

    One process at a time holds it. Memory: two write buffers and a small block cache, some 12 MiB in all, and ten
    bits an entry for the filters that spare a look at the disk for ids never seen.
    """

    def __init__(self, path: Path, *, write_buffer_bytes: int = 4 << 20, block_cache_bytes: int = 4 << 20) -> None:
        import rocksdict  # noqa: PLC0415 - a shared library of 20 MB that the other commands do without

        self.path = path
        self._rocks: Any = rocksdict
        if (path / _DAMAGED).exists():
            raise CorruptStore(f"{path}: {(path / _DAMAGED).read_text()}; delete the directory")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = rocksdict.Rdict(str(path), _options(rocksdict, write_buffer_bytes, block_cache_bytes))
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's text
            if any(told in str(error) for told in _LOCKED):
                raise
            raise _fault(path, error) from error

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none."""
        if not keys:
            return []
        values: list[bytes | None] = self._guarded(self._db.get, list(keys))
        return values

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """The first *limit* items with start <= key < stop, in order of the keys."""
        found: list[tuple[bytes, bytes]] = self._guarded(self._scan, start, stop, limit)
        return found

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        """Put and delete all of it, or nothing; it survives the end of the process."""
        batch = self._rocks.WriteBatch(raw_mode=True)
        for key, value in puts.items():
            batch.put(key, value)
        for key in deletes:
            batch.delete(key)
        self._guarded(self._db.write, batch)

    def close(self) -> None:
        """Close the database, so that another may open it."""
        self._db.close()

    def _scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        options = self._rocks.ReadOptions()
        options.set_iterate_upper_bound(stop)
        options.fill_cache(False)
        found: list[tuple[bytes, bytes]] = list(islice(self._db.items(from_key=start, read_opt=options), limit))
        if len(found) < limit:
            self._check_end(found[-1][0] if found else start, options)
        return found

    def _check_end(self, last: bytes, options: Any) -> None:
        """Raise what ended a scan at the key *last*, if it was not the end: to `items` damage looks like one."""
        iterator = self._db.iter(options)
        iterator.seek(last)
        if iterator.valid():
            iterator.next()
        iterator.status()

    def _guarded(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except Exception as error:  # the same bare Exception
            fault = _fault(self.path, error)
            if isinstance(fault, CorruptStore):
                self._mark_damaged(str(error))
            raise fault from error

    def _mark_damaged(self, text: str) -> None:
        """Have the next opening find out: damage in a block shows when it is read, and would end every worker anew."""
        with contextlib.suppress(OSError):
            (self.path / _DAMAGED).write_text(text)


def delete_store(path: Path) -> None:
    """Delete the directory of a closed RocksdictStore, whatever state it is in."""
    shutil.rmtree(path, ignore_errors=True)


def _options(rocksdict: Any, write_buffer_bytes: int, block_cache_bytes: int) -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(2)
    # Most keys that are asked for were never seen: a filter, of a tenth of the buffer, spares the search for them.
    options.set_memtable_prefix_bloom_ratio(0.1)
    options.set_memtable_whole_key_filtering(True)
    options.set_max_total_wal_size(4 * write_buffer_bytes)
    options.set_max_open_files(64)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    blocks = rocksdict.BlockBasedOptions()
    blocks.set_bloom_filter(10.0, False)
    blocks.set_block_cache(rocksdict.Cache(block_cache_bytes))
    # Otherwise every file keeps its index and filter in memory, which then grows with what is remembered.
    blocks.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(blocks)
    return options
