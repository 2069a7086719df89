"""The bookkeeping of what was handed out and what may be committed."""

from hypothesis import given
from hypothesis import strategies as st

from app.transport.deliveries import Deliveries


def test_an_offset_is_committable_only_when_all_before_it_is_done():
    """A batch that is done out of order waits for the ones before it."""
    deliveries = Deliveries()
    first, second, third = (deliveries.deliver(at, at + 10, 5) for at in (0, 10, 25))
    second.finish()

    assert deliveries.committable is None

    first.finish()

    assert deliveries.committable == 20
    assert deliveries.in_flight_bytes == 5

    third.finish()

    assert deliveries.committable == 35
    assert len(deliveries) == 0


def test_what_is_taken_back_can_no_longer_be_finished():
    """Finishing a void delivery commits nothing."""
    deliveries = Deliveries()
    kept, parked, queued = (deliveries.deliver(at, at + 10, 5) for at in (0, 10, 20))
    kept.start()
    parked.start()
    deliveries.take_back(parked)
    parked.finish()
    queued.finish()
    kept.finish()

    assert (parked.void, queued.void) == (True, True)
    assert deliveries.committable == 10
    assert deliveries.in_flight_bytes == 0


def test_only_what_nobody_works_on_is_taken_back_before_a_rebalance():
    """A started batch may finish; those waiting behind it are void."""
    deliveries = Deliveries()
    started, queued = deliveries.deliver(0, 10, 1), deliveries.deliver(10, 20, 1)
    started.start()
    deliveries.take_back_queued()

    assert (started.void, queued.void) == (False, True)
    assert deliveries.started

    started.finish()

    assert deliveries.committable == 10
    assert not deliveries.started


def test_an_earlier_generation_changes_nothing():
    """Once closed, what was outstanding is void."""
    deliveries = Deliveries()
    delivery = deliveries.deliver(0, 10, 1)
    deliveries.close()
    delivery.finish()

    assert deliveries.committable is None
    assert delivery.void


@given(st.permutations(range(12)), st.integers(0, 12))
def test_committable_is_the_longest_done_prefix(order, n_done):
    """In whatever order batches finish, the committable offset is the end of the longest prefix that is done."""
    deliveries = Deliveries()
    handed_out = [deliveries.deliver(10 * n, 10 * n + 10, 1) for n in range(12)]
    done = set(order[:n_done])
    for n in order[:n_done]:
        handed_out[n].finish()
    prefix = next((n for n in range(12) if n not in done), 12)

    assert deliveries.committable == (10 * prefix or None)
    assert deliveries.in_flight_bytes == 12 - prefix
