"""When commits stand still, and when a worker is only idle, slow, or was stopped itself."""

import asyncio
import subprocess
import sys

import pytest
from faust.types import TP

from app.topology.leaving import Leaving
from app.topology.stuck import OPENING, CommitStuck, Standing, StuckWatch, unopened
from app.topology.topic_watch import MISSED_LOOKS, TopicsChanged, TopicWatch

FEATURES, LABELS = TP("toy.features", 0), TP("toy.labels", 0)


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 0.0

    def __call__(self):
        """The time."""
        return self.now_s


@pytest.fixture
def watch():
    """A StuckWatch of 10 s that looks once a second, for as many seconds as it is told."""
    clock = Clock()
    stuck = StuckWatch(10.0, clock=clock)

    def passes(seconds, unfinished):
        for _ in range(seconds):
            clock.now_s += 1.0
            stuck.look(unfinished)

    stuck.passes, stuck.clock = passes, clock
    return stuck


def test_a_batch_that_stays_turns_readiness_and_then_ends_the_worker(watch):
    """Red at half of the limit, the end at the limit, and both name partition and offset."""
    watch.passes(5, {FEATURES: Standing(40, 0)})
    assert watch.reason() is None
    watch.passes(1, {FEATURES: Standing(40, 0)})
    assert watch.reason() == "batches are in flight, but nothing was committed for 5 s: toy.features-0 from offset 40"
    with pytest.raises(CommitStuck, match=r"for 10 s: toy\.features-0 from offset 40\. .*FAUST_ONNX_COMMIT_STUCK_S"):
        watch.passes(5, {FEATURES: Standing(40, 0)})


def test_what_moves_is_not_stuck(watch):
    """A batch that is done, or a commit, begins the time anew; so does having nothing in flight."""
    for offset in range(5):
        watch.passes(8, {FEATURES: Standing(offset, 0)})
    for committed in range(5):
        watch.passes(8, {FEATURES: Standing(None, committed)})
    watch.passes(8, {})
    watch.passes(8, {FEATURES: Standing(None, 4)})
    watch.passes(100, {})


def test_one_partition_may_stand_while_others_move(watch):
    """The others do not hide it."""
    for offset in range(10):
        watch.passes(1, {FEATURES: Standing(7, 7), LABELS: Standing(offset, offset)})
    with pytest.raises(CommitStuck) as raised:
        watch.passes(1, {FEATURES: Standing(7, 7), LABELS: Standing(10, 10)})
    assert "toy.features-0 from offset 7" in str(raised.value)
    assert "labels" not in str(raised.value)


def test_a_process_that_was_stopped_was_not_stuck(watch):
    """SIGSTOP for an hour counts as a moment: the clock ran on, the worker did not."""
    watch.passes(3, {FEATURES: Standing(0, 0)})
    watch.clock.now_s += 3600
    watch.look({FEATURES: Standing(0, 0)})
    assert watch.reason() is None


def test_what_is_left_is_named_by_where_the_next_worker_goes_on():
    """The oldest batch in flight, or what was committed last."""
    unfinished = {FEATURES: Standing(40, 30), LABELS: Standing(None, 20)}
    leaving = Leaving(lambda: unfinished)
    leaving.settled()
    assert leaving.left == ["toy.features-0 from offset 40", "toy.labels-0 from offset 20"]
    unfinished.clear()
    leaving.settled()
    assert leaving.left == []


@pytest.mark.parametrize(("unfinished", "code"), [("{}", 0), ("{TP('t', 0): Standing(4, 2)}", 1)])
def test_a_process_that_does_not_end_is_ended(unfinished, code):
    """Whatever it waits for; the code tells whether anything is left."""
    program = (
        "import time\nfrom faust.types import TP\nfrom app.topology.leaving import Leaving\n"
        f"from app.topology.stuck import Standing\nLeaving(lambda: {unfinished}, drain_s=0.2).begin()\ntime.sleep(30)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=20)
    assert ended.returncode == code
    assert ("t-0 from offset 4" in ended.stdout + ended.stderr) == bool(code)


def test_an_event_loop_that_does_not_turn_is_ended():
    """Its traceback says where it stands."""
    program = (
        "import time\nfrom app.topology import stuck\nstuck.LOOK_EVERY_S = 0.05\n"
        "def stands_here():\n    time.sleep(30)\n"
        "stuck.LoopWatch(0.2).start()\nstands_here()"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert "stands_here" in ended.stderr
    assert "has not turned" in ended.stdout + ended.stderr


class Opening:
    """A consumer that was given partitions."""

    is_opening = True

    def assignment(self):
        """What it was given."""
        return {FEATURES, LABELS}


def test_partitions_that_are_never_opened_end_the_worker(watch):
    """Assigned and not sought, for as long as no lane is taken and no row of any changelog is read."""
    opening, changelogs = StuckWatch(10.0, OPENING, clock=watch.clock), [TP("changelog", 0), TP("changelog", 1)]

    def passes(seconds, consumer, recovered):
        for _ in range(seconds):
            watch.clock.now_s += 1.0
            opening.look(unopened(consumer, recovered))

    for n_rows in range(5):
        passes(8, Opening(), dict(zip(changelogs, (7, n_rows), strict=True)))
    assert "nothing of their changelogs was read for 7 s: changelog-0 from offset 7, changelog-1" in opening.reason()
    consumer = Opening()
    consumer.is_opening = False
    passes(100, consumer, {})
    assert opening.reason() is None
    with pytest.raises(CommitStuck, match=r"partitions were assigned, but are not open, .* 10 s: toy\.features-0"):
        passes(11, Opening(), {})


def test_topics_are_compared_with_what_they_were():
    """Other partition counts are told at once, a topic that is gone only when it stays away."""
    watch = TopicWatch("127.0.0.1:1", ["a", "b"])
    watch.compare({"a": 2, "b": 1})
    for _ in range(MISSED_LOOKS - 1):
        watch.compare({"a": 2})
    watch.compare({"a": 2, "b": 1})
    for _ in range(MISSED_LOOKS - 1):
        watch.compare({"a": 2})
    with pytest.raises(TopicsChanged, match=r"topic b is gone"):
        watch.compare({"a": 2})
    with pytest.raises(TopicsChanged, match=r"topic a has 4 partitions now, and had 2"):
        watch.compare({"a": 4, "b": 1})


def test_a_topic_that_the_worker_makes_itself_is_missed_once_it_was_there():
    """Before that it may be on its way, however long that takes."""
    watch = TopicWatch("127.0.0.1:1", ["a"], made_later=["changelog"])
    for _ in range(2 * MISSED_LOOKS):
        watch.compare({"a": 2})
    others = TopicWatch("127.0.0.1:1", ["a"], made_later=["changelog"])
    watch.compare({"a": 2, "changelog": 2})
    others.there_are({"changelog"})  # a partition of it was assigned
    for each in (watch, others):
        for _ in range(MISSED_LOOKS - 1):
            each.compare({"a": 2})
        with pytest.raises(TopicsChanged, match=r"topic changelog is gone.*the next start makes an empty one"):
            each.compare({"a": 2})


async def test_a_broker_that_does_not_answer_is_no_change():
    """It is asked again, on a new connection."""
    watch = TopicWatch("127.0.0.1:1", ["a"])
    async with asyncio.timeout(10):
        await watch.look()
        await watch.look()
    await watch.close()
