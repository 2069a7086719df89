"""Worker processes and small pipelines for tests that need the whole program; loaded as a pytest plugin."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import onnx
import pytest
from aiokafka import AIOKafkaProducer
from onnx import TensorProto, helper, numpy_helper

from app.features import Contract
from app.registry import activate_version, publish
from app.topology.topics import admin_client, ensure_topics, partition_counts
from tests.programs import ROOT, environment, verify

HOOKS = ROOT / "tests" / "faults" / "hooks"

CONTRACT = """
name = "{name}"
task = "binary"
classes = [0, 1]
positive = 1
id_field = "id"
key_field = "user"
event_time_field = "at"
event_time_format = "s"
label_horizon_s = {horizon_s}
join = "{join}"
encoding = "{encoding}"
windows_s = [10, 60]

[[features]]
name = "a"
dtype = "float"
low = -100.0
high = 100.0

[[features]]
name = "b"
dtype = "float"
"""


def linear_model(weights, bias=0.0, *, n_extra_bytes=0):
    """P(positive) = sigmoid(x . weights + bias), as ONNX; n_extra_bytes makes the file larger without effect."""
    weights = np.asarray(weights, np.float32).reshape(-1, 1)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights)])
    p = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])
    initializers = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([bias], np.float32), "c")]
    nodes = [helper.make_node("Gemm", ["x", "w", "c"], ["z"]), helper.make_node("Sigmoid", ["z"], ["p"])]
    if n_extra_bytes:
        ballast = np.random.default_rng(0).standard_normal(n_extra_bytes // 4).astype(np.float32)
        initializers.append(numpy_helper.from_array(ballast, "ballast"))
        nodes.append(helper.make_node("Identity", ["ballast"], ["unused"]))
    graph = helper.make_graph(nodes, "linear", [x], [p], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)


class PipelineUnderTest:
    """A pipeline of its own on the test broker, with what to feed it and how to check it."""

    def __init__(self, bootstrap, name, folder, *, horizon_s=30.0, partitions=2, join="keyed", encoding="json"):
        """With *join* "by-id" labels are sent without a key. `feed` sends JSON whatever the *encoding*."""
        self.bootstrap, self.name, self.folder, self.partitions = bootstrap, name, folder, partitions
        self.models_dir = folder / "models"
        (self.models_dir / name).mkdir(parents=True)
        text = CONTRACT.format(name=name, horizon_s=horizon_s, join=join, encoding=encoding)
        (self.models_dir / name / "contract.toml").write_text(text)
        self.contract = Contract.load(self.models_dir / name / "contract.toml")
        self.topics = self.contract.topics
        self.horizon_s = horizon_s
        self._numbers = iter(range(10**9))
        self.workers = []

    async def create(self):
        """Make the topics, and wait until the broker tells of them, which is a little later."""
        states = await ensure_topics(self.bootstrap, self.contract, partitions=self.partitions)
        names = [state.topic for state in states]
        async with asyncio.timeout(30), admin_client(self.bootstrap) as admin:
            while len(await partition_counts(admin, names)) < len(names):  # noqa: ASYNC110  only asking tells
                await asyncio.sleep(0.05)

    async def publish(self, weights=(1.0, -1.0), bias=0.0, *, activate=True, model=None, version=None):
        """Publish a model and, if wanted, activate it; returns what was published."""
        return await publish(
            self.bootstrap,
            self.topics,
            self.name,
            linear_model(weights, bias) if model is None else model,
            version=version,
            author="test",
            now_s=time.time(),
            contract_sha256=self.contract.model_sha256,
            activate=activate,
        )

    async def activate(self, version, at_s=None):
        """Activate a published version."""
        return await activate_version(
            self.bootstrap, self.topics, self.name, version=version, author="test", now_s=time.time(), at_s=at_s
        )

    def start_worker(self, *, limits=None, code=ROOT, hooks=None, **settings):
        """A worker process; `await worker.ready()` waits for it.

        limits: by `resource.RLIMIT_*` what the process may take; code: the checkout whose program it runs; hooks:
        environment for tests/faults/hooks, which then have their say in the process.
        """
        name = f"w{len(self.workers)}"
        worker = WorkerProcess(self, name, settings, limits=limits or {}, code=code, hooks=hooks or {})
        self.workers.append(worker)
        return worker

    def events(self, n, *, rng, at_s=None):
        """*n* feature events as (key, id, JSON bytes), about one in thirty of them broken."""
        for _ in range(n):
            number = next(self._numbers)
            id_, user = f"{self.name}-{number}", f"user-{number % 17}"
            event = {"id": id_, "user": user, "at": at_s or time.time()}
            event |= {"a": rng.uniform(-3, 3), "b": rng.uniform(-3, 3)}
            fault = rng.randrange(90)
            if fault == 0:
                event["a"] = "much"
            elif fault == 1:
                del event["b"]
            elif fault == 2:
                event["a"] = 1000.0
            yield user.encode(), id_, event

    async def feed(self, n, *, rng, labels=0.9, per_s=None, producer=None, send_label=None):
        """Send *n* events and, for most of them, labels that follow a little later in the stream.

        send_label: sends a label's JSON bytes in a way of its own, given the event's key too.
        """
        own = producer is None
        producer = producer or AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5, enable_idempotence=True)
        if own:
            await producer.start()
        send_label = send_label or functools.partial(self._send_label, producer)
        try:
            began, sent, waiting = time.perf_counter(), [], []
            for count, (key, id_, event) in enumerate(self.events(n, rng=rng)):
                sent.append(await producer.send(self.topics.features, json.dumps(event).encode(), key=key))
                if rng.random() < labels:
                    truth = int(event.get("a", 0) > event.get("b", 0)) if isinstance(event.get("a"), float) else 0
                    truth = truth if rng.random() < 0.8 else 1 - truth
                    waiting.append((key, {"id": id_, "label": truth, "at": event["at"] + rng.uniform(0, 40)}))
                    if rng.random() < 0.05:
                        waiting.append((key, {"id": id_, "label": rng.randrange(2), "at": event["at"] + 1}))
                if len(waiting) > 50:
                    due, label = waiting.pop(rng.randrange(25))
                    sent.append(await send_label(json.dumps(label).encode(), due))
                if per_s:
                    await asyncio.sleep(max(0.0, began + count / per_s - time.perf_counter()))
            for key, label in waiting:
                sent.append(await send_label(json.dumps(label).encode(), key))
            await asyncio.gather(*sent)
        finally:
            if own:
                await producer.stop()

    async def _send_label(self, producer, value, key):
        return await producer.send(self.topics.labels, value, key=None if self.contract.is_by_id else key)

    async def outcomes(self, read_all):
        """Partition, offset and row, as headers tell them, of every event with a prediction or a dead letter."""
        found = set()
        for topic in (self.topics.predictions, self.topics.dead_letters):
            for record in await read_all(topic):
                headers = dict(record.headers)
                if headers["source-topic"].decode() == self.topics.features:
                    found.add((headers["source-partition"], headers["source-offset"], headers.get("source-row")))
        return found

    async def ledgers(self, read_all):
        """The newest ledger record of each partition."""
        newest = {}
        for record in await read_all(self.topics.performance):
            if record.key.startswith(b"ledger/") and record.value:
                told = json.loads(record.value)
                newest[told["partition"]] = told
        return newest

    async def verify(self, *arguments):
        """Run the independent checker as a program; its report when all holds, else the test fails with it."""
        told = self.folder / "verify.json"
        code, text, _ = await verify(self.bootstrap, self.name, self.models_dir, *arguments, report_at=told)
        assert code == 0, text
        return text

    def stop(self):
        """End every worker."""
        for worker in self.workers:
            worker.end()


class WorkerProcess:
    """A `faust-onnx worker` in a process of its own."""

    def __init__(self, pipeline, name, settings, *, limits, code, hooks):
        self.name = name
        self.log = pipeline.folder / f"{name}.log"
        self.ready_file = pipeline.folder / f"{name}.ready"
        given = {
            "broker": pipeline.bootstrap,
            "pipelines": pipeline.name,
            "models_dir": pipeline.models_dir,
            "app_id": f"app-{pipeline.name}",
            "http": "127.0.0.1:0",
            "state_dir": pipeline.folder / "state" / name,
            "partitions": pipeline.partitions,
            "session_timeout_s": 6,
            "performance_interval_s": 0.2,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "worker", "--ready-file", str(self.ready_file)],
                cwd=code, env=environment(**given | settings) | hooks | ({"PYTHONPATH": str(HOOKS)} if hooks else {}),
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=functools.partial(_limit, limits) if limits else None,  # noqa: PLW1509  it only sets limits
            )  # fmt: skip

    async def ready(self, timeout_s=60.0):
        """Wait until the worker says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while not self.ready_file.exists():
            assert self.process.poll() is None, f"the worker ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"not ready within {timeout_s} s:\n{self.tail()}"
            await asyncio.sleep(0.05)
        return self

    @property
    def url(self):
        """Where its HTTP answers."""
        return json.loads(self.ready_file.read_text())["http"]

    async def get(self, path):
        """Status and JSON (or text) of a page."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310  our own worker
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode()
        return status, json.loads(body) if body.startswith(("{", "[")) else body

    def tail(self, n=60):
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-n:])

    def signal(self, number):
        """Send it a signal."""
        os.kill(self.process.pid, number)

    async def wait(self, timeout_s=30.0):
        """Its exit code."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def end(self):
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


def _limit(limits):
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


@pytest.fixture
def pipeline(bootstrap, unique, tmp_path):
    """A factory of pipelines of their own; their workers end with the test."""
    made = []

    def make(**options):
        one = PipelineUnderTest(bootstrap, unique(), tmp_path / str(len(made)), **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def rng():
    """Randomness that is the same in every run."""
    return random.Random(1)
