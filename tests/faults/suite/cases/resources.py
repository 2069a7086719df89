"""Too slow, too much, too little: models that take long, overload, full disks and scarce file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.faults.suite.registry import case
from tests.faults.suite.run import Run

WIDTH = 512
SLOW_S_PER_EVENT = 0.0006
DISK_BYTES = 48 << 20
FILE_BYTES = 64 << 10
DESCRIPTORS = 128


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


@case(13, records=9_000, drain_s=120.0)
async def slow_model_in_service(run: Run) -> None:
    """A model whose batches take longer than the group's session: no rebalance storm, and it drains."""
    layers = max(1, round(4 * SLOW_S_PER_EVENT / seconds_per_event(slow_model(4))))
    model = slow_model(layers)
    per_event_s = seconds_per_event(model)
    await run.begin(model=model, session_timeout_s=2, max_poll_records=5000)
    run.say(f"a model that takes {per_event_s * 1000:.2f} ms an event, {per_event_s * 5000:.1f} s a batch; session 2 s")
    async with run.load(per_s=None):
        await run.worker()
        await run.pause(1.0, 2.0)
        await run.worker()
        run.heal()
    rebalances = run.logs().count("partitions assigned")
    run.must(rebalances <= 8, f"P7 no rebalance storm: {rebalances} assignments")


@case(24, records=110_000, drain_s=90.0)
async def overload(run: Run) -> None:
    """More than three times what a worker carries, for as long as a hundred thousand events take, and then nothing."""
    await run.begin(partitions=4)
    worker = await run.worker()
    async with run.load(per_s=None) as load:
        began_s, before = time.monotonic(), load.events
        await load.reach(run.n)
        offered = (load.events - before) / (time.monotonic() - began_s)
        status, body = await worker.get("/healthz")
        run.must(status == 200, f"P7 /healthz answers under overload: {status} {body}")
        run.say(f"{offered:,.0f} events/s were offered")
        run.heal()


@case(20, exits=4)
async def disk_full(run: Run) -> None:
    """The disk with the local state is full for some seconds: the worker fails loudly, and recovers with space."""
    await run.begin()
    state = run.folder / "small"
    state.mkdir()
    run.settings["state_dir"] = state
    mounted = await asyncio.to_thread(_mount, state)
    run.notes.append("a tmpfs of 48 MB" if mounted else "no right to mount: RLIMIT_FSIZE of 64 kB instead")
    limited = {} if mounted else {"limits": {resource.RLIMIT_FSIZE: FILE_BYTES}}
    try:
        await run.worker()
        async with run.load():
            await run.pause(0.5, 1.5)
            if mounted:
                ballast = state / "ballast"
                _fill(ballast)
            else:
                await run.kill(run.supervised[-1])
                run.spawn(**limited)
            run.say("the disk is full" if mounted else "no file may grow")
            await asyncio.sleep(run.rng.uniform(4, 7))
            if mounted:
                ballast.unlink()
            else:
                for worker in list(run.supervised):
                    await run.kill(worker)
                run.spawn()
            run.heal()
        ended = [fault for fault in run.faults if "ended by itself" in fault]
        run.notes.append(f"the worker ended {len(ended)} times meanwhile")
        loud = not ended or any(word in run.logs() for word in ("No space left", "File too large", "IO error"))
        run.must(loud, "P7 a worker that ended because of the disk says so")
        run.on_close(lambda: _unmount(state) if mounted else None)
    except BaseException:
        if mounted:
            run.on_close(lambda: _unmount(state))
        raise


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)  # noqa: S607  the one on the PATH


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 16))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")


@case(20, exits=4)
async def few_descriptors(run: Run) -> None:
    """Workers may open 128 files: with eight partitions they manage or say why not, and go on with more."""
    await run.begin(partitions=8)
    limits = {resource.RLIMIT_NOFILE: DESCRIPTORS}
    async with run.load():
        run.spawn(limits=limits)
        run.say(f"a worker with {DESCRIPTORS} file descriptors")
        await asyncio.sleep(run.rng.uniform(3, 6))
        ended = [fault for fault in run.faults if "ended by itself" in fault]
        for worker in list(run.supervised):
            if worker.ready_file.exists():
                run.notes.append("it manages with 128")
            await run.kill(worker)
        run.must(not ended or "Too many open files" in run.logs(), "P7 a worker that ended for want of files says so")
        run.spawn()
        run.heal()
