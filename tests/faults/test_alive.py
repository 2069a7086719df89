"""`/healthz` answers within a second whatever the worker does: a supervisor would kill it in the middle else."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from confluent_kafka import Producer

from tests.programs import ROOT, environment
from tests.workers import linear_model

pytestmark = [pytest.mark.broker, pytest.mark.fault]

N_PREDICTIONS = 200_000


class Pulse(threading.Thread):
    """Asks /healthz again and again, from the first answer on, and remembers how long the slowest answer took."""

    def __init__(self):
        super().__init__(daemon=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.answers, self.slowest_s, self.failures = 0, 0.0, []
        self.over = threading.Event()

    def run(self):
        """Until `over` is set."""
        while not self.over.wait(0.02):
            began = time.perf_counter()
            try:
                status = urllib.request.urlopen(f"http://{self.address}/healthz", timeout=5).status
            except (OSError, urllib.error.URLError) as error:
                if self.answers:
                    self.failures.append(repr(error))
                continue
            assert status == 200
            self.answers += 1
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)

    def stop(self):
        """Stop asking."""
        self.over.set()
        self.join()


async def test_while_ledger_and_table_are_rebuilt(pipeline, eventually):
    """Counts are recovered and the ledger is read again from 200,000 predictions, and it answers all the while."""
    one = pipeline(partitions=1)
    await one.create()
    await one.publish()
    await asyncio.to_thread(_produce_history, one)

    async def is_counted(worker):
        _, status = await worker.get("/api/status")
        desks = status["pipelines"][one.name]["feedback"]
        return desks.get("0", {}).get("positions") == {"predictions": N_PREDICTIONS, "labels": N_PREDICTIONS // 4}

    first = await one.start_worker().ready()
    await eventually(lambda: is_counted(first), deadline_s=90, every_s=0.5)
    first.signal(signal.SIGTERM)
    assert await first.wait() == 0
    shutil.rmtree(one.folder / "state" / "w0")

    pulse = Pulse()
    second = one.start_worker(http=pulse.address)
    pulse.start()
    began = time.monotonic()
    await second.ready()
    await eventually(lambda: is_counted(second), deadline_s=90, every_s=0.5)
    took_s = time.monotonic() - began
    pulse.stop()
    _, answer = await second.get("/api/performance")
    assert answer["total"]["predicted"] == N_PREDICTIONS
    assert not pulse.failures
    assert pulse.answers > took_s  # more than once a second
    assert pulse.slowest_s < 1.0, f"{pulse.slowest_s:.2f} s of {took_s:.1f} s, {pulse.answers} answers"


async def test_while_a_large_model_is_fetched_loaded_and_run(pipeline, rng, eventually):
    """A model of 100 MB comes while the worker scores."""
    one = pipeline(partitions=1)
    await one.create()
    await one.publish()
    pulse = Pulse()
    worker = await one.start_worker(http=pulse.address).ready()
    pulse.start()
    await _publish(one, linear_model((1.0, 2.0), n_extra_bytes=100 << 20))

    async def is_in_force():
        await one.feed(20, rng=rng, labels=0)
        return "version=2" in worker.log.read_text()

    await eventually(is_in_force, deadline_s=60, every_s=0.2)
    pulse.stop()
    assert not pulse.failures
    assert pulse.slowest_s < 1.0, f"{pulse.slowest_s:.2f} s, {pulse.answers} answers"


async def _publish(one, model):
    """Publish and activate *model*, in a process of its own: this one is to ask without delay."""
    path = one.folder / "large.onnx"
    path.write_bytes(model)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "model", "publish", str(path), "--pipeline", one.name, "--activate"),
        cwd=ROOT,
        env=environment(broker=one.bootstrap, models_dir=one.models_dir),
    )
    assert await process.wait() == 0


def _produce_history(one):
    """Predictions of another program and labels for a quarter of them, as of this minute."""
    producer = Producer(
        {"bootstrap.servers": one.bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    )
    now_s = time.time()
    for number in range(N_PREDICTIONS):
        at = now_s - 20 + 20 * number / N_PREDICTIONS
        prediction = {"id": f"e{number}", "version": 1, "prediction": number % 2, "score": number % 2, "event_at": at}
        producer.produce(one.topics.predictions, json.dumps(prediction), partition=0)
        if number % 4 == 0:
            label = {"id": f"e{number}", "label": number % 2, "at": at}
            producer.produce(one.topics.labels, json.dumps(label), partition=0)
    producer.flush(60)
