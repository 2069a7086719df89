"""Records are read whatever their headers are called: any bytes are a name on a topic."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from app.transport.header_names import AnyNames

NAME = b"\xff\xfe\xfd"


def batch(first, names):
    """A record batch with a record for each name, whose value is its number."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 16)
    for number, name in enumerate(names):
        builder.append(number, 1000 + number, b"k", b"%d" % number, [(name, b"x"), ("other", None)])
    content = bytearray(builder.build())
    content[:8] = first.to_bytes(8, "big")
    return bytes(content).replace(b"BAD", NAME)


def read(records):
    """Every record, batch by batch, as a fetcher reads them."""
    found = []
    while records.has_next():
        next_batch = records.next_batch()
        assert next_batch.producer_id in (-1, None)
        assert not next_batch.is_control_batch
        found += [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in next_batch]
    return found


def test_a_name_that_is_no_utf8_costs_no_record():
    """The client alone raises; here the name is escaped, and all records before and after it are read once."""
    content = batch(100, ["a", "b"]) + batch(102, ["c", "BAD", "größe", "BAD", "d"]) + batch(107, ["e"])
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(content))
    found = read(AnyNames(content))
    assert [offset for offset, *_ in found] == list(range(100, 108))
    assert [record[3] for record in found] == [b"0", b"1", b"0", b"1", b"2", b"3", b"4", b"0"]
    names = [record[4][0][0] for record in found]
    assert names == ["a", "b", "c", "\\xff\\xfe\\xfd", "größe", "\\xff\\xfe\\xfd", "d", "e"]
    assert {record[4][1] for record in found} == {("other", None)}


def test_other_records_are_read_as_ever():
    """The same content, batch by batch, and a fetch that was cut off in the middle of a batch."""
    content = batch(0, ["a", "b"]) + batch(2, ["c"])
    assert read(AnyNames(content)) == read(MemoryRecords(content))
    cut = content[:-3]
    assert read(AnyNames(cut)) == read(MemoryRecords(cut))
    assert AnyNames(cut).size_in_bytes() == MemoryRecords(cut).size_in_bytes()
