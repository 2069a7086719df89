"""Records that are poison: each must become a dead letter, and its neighbours be scored."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.faults.suite.load import Message, Source, usual
from tests.faults.suite.registry import case
from tests.faults.suite.run import Run


def poison(name: str) -> Source:
    """The usual load, and every seventh event is one that must become a dead letter - or only looks like one."""

    def messages(rng: Any) -> Iterator[list[Message]]:
        for number, usual_ones in enumerate(usual(name)(rng)):
            if number % 7:
                yield usual_ones
                continue
            good = {"id": f"{name}-bad-{number}", "user": "u", "at": time.time(), "a": 1.0, "b": 2.0}
            kind = rng.randrange(len(POISONS))
            key, value, headers = POISONS[kind](good, rng)
            yield [*usual_ones, Message(False, key, value, 0, headers)]

    return messages


def _document(**changes: Any):
    def make(good: dict[str, Any], _: Any) -> tuple[bytes | None, bytes | None, tuple[()]]:
        document = {name: value for name, value in (good | changes).items() if value is not ...}
        return b"u", json.dumps(document).encode(), ()

    return make


def _bytes(value: bytes | None, *, key: bytes | None = b"u", headers: tuple = ()):
    return lambda _good, _rng: (key, value, headers)


def _json(**document: Any) -> bytes:
    return json.dumps(document).encode()


POISONS = [
    _bytes(None), _bytes(b""), _bytes(b"{"), _bytes(b"[1, 2]"), _bytes(b"null"), _bytes(b"\xff\xfe{}"),
    _bytes(b"[" * 5000), _bytes(b'{"a":' * 500 + b"1" + b"}" * 500), _bytes(b"\x00" * 300), _bytes(b'{"id": "x"}x'),
    _document(a=...), _document(a=None), _document(a="1"), _document(a=True), _document(a=[1.0]), _document(a={}),
    _document(a=1e400), _document(a=-1e300), _document(a=100.5), _document(b=float("nan")), _document(b=float("inf")),
    _document(b=10**400), _document(b=3.5e38), _document(id=...), _document(id=""), _document(id=1.5),
    _document(id=["x"]), _document(id="\ud800"), _document(at=...), _document(at="yesterday"), _document(at=-1),
    _document(at=1e18), _document(at=float("nan")), _document(user="somebody else"), _document(user=...),
    _document(more={"deep": [{}] * 50}), _document(a=-0.0), _document(a=1), _document(id=17), _document(b=10**30),
    lambda good, rng: (b"u", _json(**good, blob="x" * rng.choice([1_000_000, 1_048_300, 1_200_000, 3_000_000])), ()),
    _document(b=-1e7), _document(b=-3e38),
    lambda good, _: (None, _json(**{name: v for name, v in good.items() if name != "user"}), ()),
    lambda good, _: (b"u", _json(**good), (("\u00e9", b"\xff\x00"), ("none", None), ("source-offset", b"x"))),
    lambda good, _: (b"\xff\xfe", _json(**good), ()),
    lambda good, _: (b"u", json.dumps(good).encode("utf-16"), ()),
]  # fmt: skip


REASONS = {
    "not_json", "not_object", "null_value", "missing_feature", "wrong_type", "out_of_range", "bad_id", "bad_time",
    "not_finite", "oversized", "scoring_failed",
}  # fmt: skip
"""Of the dead letters that this load must make: all but `bad_label`."""
LARGEST_BYTES = 4_000_000


def failing_model() -> bytes:
    """P(positive) = sigmoid(a - b), and NaN where b is below minus a million."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"]),
        helper.make_node("Gemm", ["x", "b"], ["b_alone"]),
        helper.make_node("Add", ["b_alone", "million"], ["above"]),
        helper.make_node("Sqrt", ["above"], ["root"]),
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["z", "nothing"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["p"]),
    ]
    weights = {"w": [[1], [-1]], "b": [[0], [1]], "million": [[1e6]], "zero": [[0]]}
    graph = helper.make_graph(
        nodes, "failing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)


@case(14, records=20_000)
async def poison_events(run: Run) -> None:
    """Every seventh event is poison - broken, huge, null, infinite, misnamed - and the worker is killed among them."""
    await run.begin(session_timeout_s=3, model=failing_model())
    topics = run.pipeline.topics
    await run.set_configs(topics.features, {"max.message.bytes": str(LARGEST_BYTES)})
    worker = await run.worker()
    async with run.load(source=poison(run.name), per_s=1500):
        for _ in range(run.times(2)):
            await run.pause(1.0, 2.5)
            await run.kill(worker)
            worker = await run.worker()
        run.heal()

    def all_met() -> None:
        letters = run.watch.read(topics.dead_letters)
        found = Counter(dict(letter.headers())["reason"].decode() for letter in letters)
        run.notes.append(f"dead letters: {dict(found)}")
        run.must(run.scale < 1 or found.keys() >= REASONS, f"no dead letter is {REASONS - found.keys()}")

    run.when_drained(all_met)
