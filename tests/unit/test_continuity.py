"""Batches follow on each other, or it is noticed: what was taken back, what was removed, what began anew."""

import pytest
from faust.types import TP

from app.errors import BrokerError
from app.metrics import Metrics
from app.topology.continuity import Continuity
from app.transport.batch import Batch
from app.transport.deliveries import Deliveries

TOPIC = "toy.features"
PARTITION = TP(TOPIC, 0)


class Ends:
    """What the broker says of the partition: where it begins and where it ends."""

    def __init__(self, earliest=0, end=1000):
        self.earliest, self.end, self.asked = earliest, end, 0

    async def earliest_offsets(self, *tps):
        """Where each begins."""
        self.asked += 1
        return dict.fromkeys(tps, self.earliest)

    async def highwaters(self, *tps):
        """Where each ends."""
        return dict.fromkeys(tps, self.end)


@pytest.fixture
def watch():
    """A Continuity over a partition, what the broker says of it, and a maker of batches that were noted."""

    class Watch:
        broker = Ends()
        metrics = Metrics()
        deliveries = Deliveries()

        def __init__(self):
            self.metrics.skipped("toy", TOPIC, 0)
            self.continuity = Continuity({TOPIC: "toy"}, {}, lambda: self.broker, self.metrics)

        def note(self, first, next_offset):
            """Deliver and note the offsets [first, next_offset)."""
            delivery = self.deliveries.deliver(first, next_offset, 1)
            self.continuity.note(Batch(TOPIC, 0, [], delivery, lambda: None))
            return delivery

        @property
        def skipped(self):
            """What was counted."""
            labels = {"pipeline": "toy", "topic": TOPIC}
            return self.metrics.registry.get_sample_value("faust_onnx_records_skipped_total", labels)

    return Watch()


async def test_batches_that_follow_on_each_other_are_no_matter(watch):
    """The broker is not even asked."""
    await watch.continuity.begin({PARTITION: 100})
    for first in range(100, 200, 10):
        watch.note(first, first + 10).finish()
    asked = watch.broker.asked
    await watch.continuity.resolve()
    assert (watch.skipped, watch.broker.asked) == (0, asked)


@pytest.mark.parametrize(("earliest", "skipped"), [(0, 0), (110, 0), (115, 5), (130, 20), (500, 20)])
async def test_a_gap_counts_as_far_as_the_topic_was_cut_off(watch, earliest, skipped):
    """Markers and compaction leave gaps too: missing is what lies before the topic's beginning."""
    watch.note(100, 110).finish()
    watch.note(130, 140)
    watch.broker.earliest = earliest
    await watch.continuity.resolve()
    assert watch.skipped == skipped


#  noted  [100..110) done  [110..120) [120..130)    taken back    again [110..130)    or, cut off, [150..160)
@pytest.mark.parametrize(("first", "skipped"), [(110, 0), (150, 40)])
async def test_what_was_taken_back_comes_again(watch, first, skipped):
    """Several batches may be taken back at once; if they do not come again, they are missing."""
    watch.note(100, 110).finish()
    second = watch.note(110, 120)
    third = watch.note(120, 130)
    third.finish()
    watch.deliveries.take_back(second)
    watch.broker.earliest = 150
    watch.note(first, 160)
    await watch.continuity.resolve()
    assert watch.skipped == skipped


async def test_a_topic_that_begins_anew_is_an_error(watch):
    """Its records would be taken for copies of those that had their offsets before."""
    watch.note(100, 110).finish()
    with pytest.raises(BrokerError, match=r"goes on at offset 0, but was read up to 110"):
        watch.note(0, 10)


async def test_a_partition_that_was_lost_and_came_back_may_begin_anywhere(watch):
    """Another worker may have read it in between."""
    watch.note(100, 110).finish()
    watch.continuity.forget({PARTITION})
    watch.note(50, 60)
    watch.note(60, 70)


async def test_what_was_removed_while_no_worker_ran_is_counted(watch):
    """From what was committed to where the topic begins now; and a topic that ends before is an error."""
    watch.broker.earliest = 150
    await watch.continuity.begin({PARTITION: 100})
    assert watch.skipped == 50
    watch.note(150, 160)
    await watch.continuity.resolve()
    assert watch.skipped == 50

    watch.broker.end = 90
    with pytest.raises(BrokerError, match=r"ends at offset 90, but was read up to 100"):
        await watch.continuity.begin({PARTITION: 100})
