"""Too slow and too much: a model that takes long, and more events than a worker carries."""

from __future__ import annotations

import asyncio
import re
import signal
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run
from tests.workers import WorkerProcess

WIDTH = 512
SLOW_S_PER_EVENT = 0.0006
OUTLASTED_S = 2
OFFERED_PER_S, OVERLOAD_S = 3000.0, 60.0
RUN_S = 0.01
CONSTANT = "app.transport.coordination:TRANSACTION_TIMEOUT_S"
"""No setting changes it: the test does so in the worker's process."""
BATCHES = r"faust_onnx_inference_seconds_(count|sum)\{[^}]*\} ([0-9.e+-]+)"
WATCHED_S = 40.0


def slow_model(n_layers: int) -> bytes:
    """P(positive) = sigmoid(a - b), and *n_layers* products of matrices that change nothing and take their time."""
    rng = np.random.default_rng(0)
    weights = {
        "w": np.array([[1.0], [-1.0]], np.float32),
        "up": rng.standard_normal((2, WIDTH)).astype(np.float32),
        "m": (rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32),
        "nothing": np.array([[1e-12]], np.float32),
    }
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("MatMul", ["x", "up"], ["h0"])]
    for n in range(n_layers):
        nodes += [
            helper.make_node("MatMul", [f"h{n}", "m"], [f"p{n}"]),
            helper.make_node("Tanh", [f"p{n}"], [f"h{n + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"h{n_layers}"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["little"]),
        helper.make_node("Add", ["z", "little"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes, "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)


def seconds_per_event(model: bytes) -> float:
    """Measured on this machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    x = np.ones((200, 2), np.float32)
    session.run(None, {"x": x})
    began_s = time.perf_counter()
    session.run(None, {"x": x})
    return (time.perf_counter() - began_s) / len(x)


@case(13, records=12_000, drain_s=120.0)
async def slow_model_in_service(run: Run) -> None:
    """A model whose batches outlast the session and the time-out of transactions: no rebalance storm, it drains."""
    layers = max(1, round(4 * SLOW_S_PER_EVENT / seconds_per_event(slow_model(4))))
    model = slow_model(layers)
    per_event_s = seconds_per_event(model)
    hooks = {"FAULT_CONSTANTS": f"{CONSTANT}={OUTLASTED_S}"}
    await run.begin(model=model, session_timeout_s=OUTLASTED_S, max_poll_records=5000)
    run.say(f"{per_event_s * 1000:.2f} ms an event; session and transactions time out after {OUTLASTED_S} s")
    async with run.load(per_s=None):
        watching = asyncio.ensure_future(_longest_batch_s(await run.worker(hooks=hooks)))
        await run.pause(1.0, 2.0)
        await run.worker(hooks=hooks)
        run.heal()
        longest_s = await watching
    run.say(f"a batch took {longest_s:.1f} s")
    run.must(longest_s > OUTLASTED_S or run.scale < 1, f"no batch outlasted {OUTLASTED_S} s, so that this shows little")
    rebalances = run.logs().count("partitions assigned")
    run.must(rebalances <= 8, f"P7 no rebalance storm: {rebalances} assignments")


async def _longest_batch_s(worker: WorkerProcess) -> float:
    """What one batch took at least, of those that end while this looks: until one has outlasted what it has to."""
    longest_s, deadline = 0.0, time.monotonic() + WATCHED_S
    before = await _batches(worker)
    while longest_s <= OUTLASTED_S and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        after = await _batches(worker)
        if after["count"] > before["count"]:
            longest_s = max(longest_s, (after["sum"] - before["sum"]) / (after["count"] - before["count"]))
            before = after
    return longest_s


async def _batches(worker: WorkerProcess) -> dict[str, float]:
    """How many batches the worker has scored, and how many seconds they took."""
    _, text = await worker.get("/metrics")
    return {"count": 0.0, "sum": 0.0} | {name: float(value) for name, value in re.findall(BATCHES, text)}


@case(24, records=50_000, drain_s=90.0)
async def overload(run: Run) -> None:
    """A burst as fast as it goes, then more than three times what the worker carries for a minute, and then nothing."""
    await run.begin(partitions=4)
    worker = await run.worker()
    async with run.load(per_s=None) as burst:
        began_s = time.monotonic()
        await burst.reach(run.n)
        run.say(f"{burst.events / (time.monotonic() - began_s):,.0f} events/s were offered")
        await _is_alive(run, worker)
    async with run.load(per_s=OFFERED_PER_S, n=1) as load:
        began_s, minute_s = time.monotonic(), OVERLOAD_S * run.scale
        before = await _committed(run, run.pipeline.topics.features)
        await _hold_down(run, worker, minute_s)
        offered = load.events
        after = await _committed(run, run.pipeline.topics.features)
        took_s, scored = time.monotonic() - began_s, after - before
        run.say(f"{offered / took_s:,.0f} events/s were offered for {took_s:.0f} s, {scored / took_s:,.0f} scored")
        run.must(offered >= 3 * scored or run.scale < 1, f"no overload: {offered} offered, {scored} scored")
        await _is_alive(run, worker)
        run.heal()


async def _is_alive(run: Run, worker: WorkerProcess) -> None:
    status, body = await worker.get("/healthz")
    run.must(status == 200, f"P7 /healthz answers under overload: {status} {body}")


async def _hold_down(run: Run, worker: WorkerProcess, seconds: float) -> None:
    """Let the worker have so little of the time that it scores a fifth of what is offered, by stopping it in between.

    It is stopped for two seconds at most, as by a host that has too many to serve.
    """
    topic, stop_s = run.pipeline.topics.features, 0.5
    deadline = time.monotonic() + seconds
    last_s, last = time.monotonic(), await _committed(run, topic)
    while time.monotonic() < deadline:
        for _ in range(4):
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(stop_s)
            worker.signal(signal.SIGCONT)
            await asyncio.sleep(RUN_S)
        now_s, now = time.monotonic(), await _committed(run, topic)
        per_s, last_s, last = (now - last) / (now_s - last_s), now_s, now
        stop_s = min(2.0, max(0.1, stop_s * (2.0 if per_s > OFFERED_PER_S / 5 else 0.8)))


async def _committed(run: Run, topic: str) -> int:
    return sum((await asyncio.to_thread(run.watch.committed, topic)).values())
