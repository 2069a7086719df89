"""Models that take as long as they are told to: for tests of what a worker does meanwhile."""

from __future__ import annotations

import asyncio
import functools
import json
import time

import numpy as np
import onnx
import onnxruntime as ort
from aiokafka import AIOKafkaProducer
from onnx import TensorProto, helper, numpy_helper

_PROBE_TURNS = 200_000


def slow_model():
    """P(positive) = 0.5 for every row, after as many seconds as the greatest `a` of the batch says."""
    return _looping(1 / _turn_s())


async def send_slow(one, n, *, seconds):
    """Send *n* events whose batches take the model so long; for contracts of `tests.workers`."""
    async with AIOKafkaProducer(bootstrap_servers=one.bootstrap, linger_ms=5) as producer:
        sent = []
        for number in range(n):
            event = {"id": f"slow-{time.time_ns()}-{number}", "user": "u", "at": time.time(), "a": seconds, "b": 0.0}
            sent.append(await producer.send(one.topics.features, json.dumps(event).encode(), key=b"u", partition=0))
        await asyncio.gather(*sent)


@functools.cache
def _turn_s():
    """What a turn of the loop takes here."""
    session = ort.InferenceSession(_looping(_PROBE_TURNS), providers=["CPUExecutionProvider"])
    began = time.perf_counter()
    session.run(None, {"x": np.ones((1, 2), np.float32)})
    return (time.perf_counter() - began) / _PROBE_TURNS


def _looping(turns_of_one):
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["so_far", "nothing"], ["then"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so_far", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("then", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.float32([0]), "nothing")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["x"], ["greatest"], axes=[0], keepdims=0),
            helper.make_node("Gather", ["greatest", "first"], ["a"]),
            helper.make_node("Mul", ["a", "turns_of_one"], ["many"]),
            helper.make_node("Cast", ["many"], ["turns"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["a", "one"], ["start"]),
            helper.make_node("Mul", ["start", "zero"], ["none"]),
            helper.make_node("Loop", ["turns", "yes", "none"], ["end"], body=body),
            helper.make_node("Gemm", ["x", "weights", "end"], ["z"]),
            helper.make_node("Sigmoid", ["z"], ["p"]),
        ],
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(np.int64([1]), "one"),
            numpy_helper.from_array(np.float32([0]), "zero"),
            numpy_helper.from_array(np.int64(0), "first"),
            numpy_helper.from_array(np.float32(turns_of_one), "turns_of_one"),
            numpy_helper.from_array(np.bool_(True), "yes"),
            numpy_helper.from_array(np.zeros((2, 1), np.float32), "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)
