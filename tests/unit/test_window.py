"""How much may be under way: nobody waits where the line is fast, and where it is slow all take turns."""

import asyncio
from contextlib import nullcontext

import pytest

from app.transport.window import LEAST_BYTES, MOST_BYTES, Window


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 0.0

    def __call__(self):
        """The time."""
        return self.now_s


@pytest.fixture
def clock():
    """A clock that stands."""
    return Clock()


@pytest.fixture
def window(clock):
    """A window for transactions that should not take 16 s."""
    return Window(long_s=16.0, clock=clock)


async def under_way(window, clock, n_bytes, *, seconds, fails=False):
    """A transaction of *n_bytes* that takes so long."""
    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        async with window.room_for(n_bytes):
            clock.now_s += seconds
            _ = 1 / (0 if fails else 1)


async def test_what_takes_long_halves_it_and_what_is_quick_doubles_it_again(window, clock):
    """Half of what was under way, whether it came through or not; in between nothing changes; within bounds."""
    seen = []
    for n_bytes, seconds, fails in (
        (2 << 20, 16.0, False),
        (1 << 20, 20.0, True),
        (1 << 19, 8.0, False),
        (1 << 19, 0.1, True),
        (1 << 19, 3.9, False),
        (100, 60.0, True),
    ):
        await under_way(window, clock, n_bytes, seconds=seconds, fails=fails)
        seen.append(window.bytes)
    assert seen == [1 << 20, 1 << 19, 1 << 19, 1 << 19, 1 << 20, LEAST_BYTES]
    for _ in range(20):
        await under_way(window, clock, 1, seconds=0.0)
    assert window.bytes == MOST_BYTES


async def test_those_who_find_no_room_wait_in_the_order_in_which_they_came(window):
    """A large one is not overtaken for ever by small ones, and goes when nothing else is under way."""
    began, go_on = [], {name: asyncio.Event() for name in ("first", "large", "small")}

    async def write(name, n_bytes):
        async with window.room_for(n_bytes):
            began.append(name)
            await go_on[name].wait()

    sizes = {"first": 100, "large": 2 * MOST_BYTES, "small": 100}
    tasks = [asyncio.ensure_future(write(name, n_bytes)) for name, n_bytes in sizes.items()]
    for name in sizes:
        await asyncio.sleep(0.01)
        assert began[-1] == name
        go_on[name].set()
    await asyncio.gather(*tasks)
    assert began == list(sizes)


async def test_one_who_is_cancelled_makes_room(window):
    """Waiting, it leaves the line; under way, it leaves the window. Neither says anything of the line."""
    begun = asyncio.Event()

    async def write():
        async with window.room_for(MOST_BYTES):
            begun.set()
            await asyncio.Event().wait()

    under, waiting = asyncio.ensure_future(write()), asyncio.ensure_future(write())
    await begun.wait()
    for task in (waiting, under):
        task.cancel()
    await asyncio.gather(under, waiting, return_exceptions=True)
    async with asyncio.timeout(1), window.room_for(MOST_BYTES):
        pass
    assert window.bytes == MOST_BYTES
