"""What is done beside the stream: again and again, and an error ends the worker unless it is ending anyway."""

import asyncio

from app.topology.jobs import Job, Jobs


async def until(condition):
    """Let the loop turn until *condition* holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  a condition on plain lists
            await asyncio.sleep(0)


async def test_a_job_is_done_again_and_again_until_it_is_stopped():
    """Each in a task of its own."""
    done = []
    jobs = Jobs(done.append, lambda: False)

    async def work():
        done.append("once more")

    jobs.start([Job(work, 0.0)])
    await until(lambda: len(done) > 3)
    await jobs.stop()
    n = len(done)
    await asyncio.sleep(0.01)
    assert (len(done), set(done)) == (n, {"once more"})


async def test_a_job_that_fails_is_told_of():
    """Whoever depends on it must not go on."""
    failures = []
    jobs = Jobs(failures.append, lambda: False)
    error = ValueError("broken")

    async def work():
        raise error

    jobs.start([Job(work, 0.0)])
    await until(lambda: failures)
    assert failures == [error]


async def test_a_job_that_is_overtaken_by_the_end_of_the_worker_is_no_failure():
    """A worker told to stop ended with 1: a job asked the consumer, whose thread was gone by then."""
    failures, ended = [], asyncio.Event()
    jobs = Jobs(failures.append, ended.is_set)

    async def work():
        await ended.wait()
        raise RuntimeError("Event loop is closed")

    jobs.start([Job(work, 0.0)])
    await asyncio.sleep(0)
    ended.set()
    await until(lambda: all(task.done() for task in jobs._tasks))
    await asyncio.sleep(0)
    assert failures == []
