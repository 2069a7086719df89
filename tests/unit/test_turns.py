"""Scoring goes first, and feedback keeps a share."""

import asyncio

from app.topology.turns import FEEDBACK_SHARE, Turns


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        """The time, a millisecond later each time it is asked for."""
        self.now_s += 0.001
        return self.now_s


async def test_feedback_goes_at_once_when_no_features_wait():
    """Without waiting feature batches a turn follows the last one immediately."""
    clock = Clock()
    turns = Turns(lambda: False, clock=clock)
    turns.took(1.0)
    began = clock.now_s
    await asyncio.wait_for(turns.wait(), 1)

    assert clock.now_s - began < 0.01


async def test_feedback_keeps_its_share_while_features_wait():
    """After a turn of one second, feedback waits as long as its share demands, and no longer."""
    clock = Clock()
    turns = Turns(lambda: True, clock=clock)
    turns.took(0.01)
    began = clock.now_s
    await asyncio.wait_for(turns.wait(), 5)

    assert 0.01 * (1 / FEEDBACK_SHARE - 1) <= clock.now_s - began < 0.01 / FEEDBACK_SHARE + 0.005


async def test_feedback_goes_on_as_soon_as_the_features_are_done():
    """The wait ends when the last feature batch is taken."""
    waiting = [True]
    turns = Turns(lambda: waiting[0])
    turns.took(1000.0)
    turn = asyncio.ensure_future(turns.wait())
    await asyncio.sleep(0.01)

    assert not turn.done()

    waiting[0] = False
    await asyncio.wait_for(turn, 1)


async def test_partitions_share_the_time_that_feedback_gets():
    """Of two who wait for the same turn one goes, and the other when that turn and the pause after it are over.

    Broken by letting everybody go whose time has come: two partitions took twice the share.
    """
    clock = Clock()
    turns = Turns(lambda: True, clock=clock)
    turns.took(0.01)
    went = []

    async def take(name):
        await turns.wait()
        went.append((name, clock.now_s))
        await asyncio.sleep(0.01)  # it is written
        turns.took(0.01)

    await asyncio.wait_for(asyncio.gather(take("a"), take("b")), 5)

    assert went[1][1] - went[0][1] >= 0.01 * (1 / FEEDBACK_SHARE - 1)
