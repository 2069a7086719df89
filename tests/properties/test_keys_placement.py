"""The placement of keys is that of Kafka's Java client."""

from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import given
from hypothesis import strategies as st

from app.keys import murmur2, partition_of


@given(st.binary(max_size=70))
def test_murmur2_is_that_of_aiokafka(key):
    """Every length gives the same 32 bits, the bytes behind the last whole word included."""
    assert murmur2(key) == theirs(key)


@given(st.binary(max_size=20), st.integers(1, 50))
def test_a_key_belongs_where_the_default_partitioner_sends_it(key, n_partitions):
    """`partition_of` is what aiokafka's own producer chooses."""
    partitions = list(range(n_partitions))

    assert partition_of(key, n_partitions) == DefaultPartitioner()(key, partitions, partitions)
