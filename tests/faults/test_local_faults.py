"""A machine that does not let a worker work: it says what is missing, ends with another code than 0, and recovers."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import time

import pytest
from confluent_kafka import Producer

pytestmark = [pytest.mark.broker, pytest.mark.fault]

N = 20_000


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB, for those who may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["/bin/umount", "-l", str(folder)], check=True)


async def serving(pipeline, **options):
    """A pipeline of one partition, and a worker that is ready."""
    one = pipeline(partitions=1)
    await one.create()
    await one.publish()
    return one, await one.start_worker(**options).ready()


def last_word(worker):
    """The line in which the worker says why it ends."""
    [line] = [line for line in worker.log.read_text().splitlines() if "the worker cannot go on" in line]
    return line


async def test_too_few_open_files_are_refused_at_the_start(pipeline):
    """With 128 it could serve for a while, and fail at anything then."""
    one = pipeline(partitions=1)
    await one.create()
    worker = one.start_worker(limits={resource.RLIMIT_NOFILE: 128})
    assert await worker.wait(30) == 2
    assert "only 128 files may be open" in worker.log.read_text()
    assert "ulimit -n" in worker.log.read_text()


async def test_a_full_disk_ends_the_worker_and_room_mends_it(small_disk, pipeline, eventually):
    """The counts that could not be written down are made again, exactly, once there is room."""
    state = small_disk / "state"
    one, worker = await serving(pipeline, state_dir=state)
    filler = small_disk / "filler"
    await asyncio.to_thread(_fill, filler)
    await one.publish(weights=(2.0, 2.0))  # it cannot be cached, and that is no reason not to serve it
    await eventually(lambda: "version 2 is not cached on disk" in worker.log.read_text(), deadline_s=20)
    await asyncio.to_thread(_produce, one)
    assert await worker.wait(60) == 1, worker.tail()
    assert "No space left on device" in last_word(worker)
    assert "make room there" in last_word(worker)

    again = one.start_worker(state_dir=state)
    assert await again.wait(40) in (1, 2), again.tail()
    assert "No space left on device" in again.log.read_text()

    filler.unlink()
    mended = await one.start_worker(state_dir=state).ready()
    await eventually(lambda: _is_counted(mended, one), deadline_s=60, every_s=0.3)
    mended.signal(signal.SIGTERM)
    assert await mended.wait() == 0


async def test_files_that_may_not_grow_end_the_worker(pipeline, eventually):
    """A limit of the size of files is named, and without it all is counted."""
    one, worker = await serving(pipeline, limits={resource.RLIMIT_FSIZE: 1 << 20})
    await asyncio.to_thread(_produce, one)
    assert await worker.wait(60) == 1, worker.tail()
    assert "File too large" in last_word(worker)
    assert "ulimit -f" in last_word(worker)
    mended = await one.start_worker(state_dir=one.folder / "state" / "w0").ready()
    await eventually(lambda: _is_counted(mended, one), deadline_s=60, every_s=0.3)


def _fill(path):
    with path.open("wb") as file:
        size = 1 << 20
        while size:
            try:
                os.write(file.fileno(), bytes(size))
            except OSError:
                size //= 2


def _produce(one):
    """Predictions of another program, as of this minute."""
    producer = Producer({"bootstrap.servers": one.bootstrap, "linger.ms": 20})
    for number in range(N):
        event = {"id": f"e{number}", "version": 1, "prediction": 1, "score": 1, "event_at": time.time()}
        producer.produce(one.topics.predictions, json.dumps(event), partition=0)
    producer.flush(60)


async def _is_counted(worker, one):
    _, answer = await worker.get("/api/performance")
    _, status = await worker.get("/api/status")
    positions = status["pipelines"][one.name]["feedback"].get("0", {}).get("positions", {})
    return positions.get("predictions") == N and answer["total"].get("predicted") == N
