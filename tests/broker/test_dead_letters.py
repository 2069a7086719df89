"""Dead letters of a real worker: one for every broken record, none for its neighbours, for every reason there is."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from onnx import TensorProto, helper, numpy_helper

from app.errors import Reason
from app.features import Contract
from tests.programs import faust_onnx
from tests.workers import PipelineUnderTest

pytestmark = pytest.mark.broker

FEATURES, LABELS = "features", "labels"
MAX_RECORD_BYTES = 4096
CONTRACT = """
name = "{name}"
task = "binary"
classes = [0, 1]
positive = 1
id_field = "id"
key_field = "user"
event_time_field = "at"
event_time_format = "s"
label_horizon_s = 30
windows_s = [10]
features = [
    {{ name = "a", low = -100, high = 100 }},
    {{ name = "b" }},
    {{ name = "row", dtype = "int" }},
    {{ name = "web", dtype = "bool", missing = "default", default = false }},
]
"""
NOT_CUT, CUT = b" " * MAX_RECORD_BYTES + b"{}", b"x" * 1_000_000


def event(**changes):
    """A good event as JSON, with *changes*; `...` leaves a field out."""
    fields = {"id": f"e{next(_numbers)}", "user": "ann", "at": time.time(), "a": 1.0, "b": 4.0, "row": 1} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def label(**changes):
    """A label as JSON, with *changes*; `...` leaves a field out."""
    fields = {"id": f"l{next(_numbers)}", "label": 1, "at": time.time()} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


_numbers = iter(range(10**9))

CASES = {
    Reason.NOT_JSON: [
        (FEATURES, b"{broken"), (FEATURES, b""), (FEATURES, b'{"id": "\xff"}'), (FEATURES, event(b=float("nan"))),
        (FEATURES, b"[" * 2000), (LABELS, b"{broken"), (LABELS, b"\xff\xfe"),
    ],
    Reason.NOT_OBJECT: [(FEATURES, b"[1, 2]"), (FEATURES, b"null"), (FEATURES, b'"text"'), (LABELS, b"7")],
    Reason.NULL_VALUE: [(FEATURES, None), (LABELS, None)],
    Reason.MISSING_FEATURE: [(FEATURES, event(a=...)), (FEATURES, event(b=None))],
    Reason.WRONG_TYPE: [
        (FEATURES, event(a="much")), (FEATURES, event(b=True)), (FEATURES, event(row=0.5)), (FEATURES, event(web=1)),
    ],
    Reason.OUT_OF_RANGE: [(FEATURES, event(a=100.5)), (FEATURES, event(row=2**63))],
    Reason.NOT_FINITE: [
        (FEATURES, event(b=1e300)), (FEATURES, event(b=-3.5e38)), (FEATURES, event(b="@").replace(b'"@"', b"1e999")),
    ],
    Reason.BAD_ID: [
        (FEATURES, event(id=...)), (FEATURES, event(id="")), (FEATURES, event(id=1.5)), (FEATURES, event(user="bob")),
        (LABELS, label(id=...)), (LABELS, label(id="")), (LABELS, label(id=True)),
    ],
    Reason.BAD_TIME: [
        (FEATURES, event(at=...)), (FEATURES, event(at="yesterday")), (FEATURES, event(at=-1)),
        (FEATURES, event(at=time.time() * 1000)), (LABELS, label(at="today")), (LABELS, label(at=-5)),
    ],
    Reason.BAD_LABEL: [
        (LABELS, label(label=7)), (LABELS, label(label=True)), (LABELS, label(label="1")), (LABELS, label(label=0.5)),
        (LABELS, label(label=None)), (LABELS, label(label=...)), (LABELS, label(label=[1])),
    ],
    Reason.OVERSIZED: [
        (FEATURES, NOT_CUT), (FEATURES, CUT), (FEATURES, event(id="x" * MAX_RECORD_BYTES)), (LABELS, NOT_CUT),
    ],
    Reason.SCORING_FAILED: [(FEATURES, event(b=-1.0)), (FEATURES, event(row=5))],
}  # fmt: skip


def square_root_model(*, forgiving=False):
    """P(1) = sigmoid(a - sqrt(b) + rows[row]): NaN for a negative b, and fails where *row* is neither 0 nor 1.

    forgiving: takes the absolute of b and any row, in the same place.
    """
    columns = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])]
    p = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])
    node = helper.make_node
    nodes = [
        *(node("Gather", ["x", f"{n}"], [name], axis=1) for n, name in enumerate(("a", "b", "row"))),
        node("Abs" if forgiving else "Identity", ["b"], ["b_used"]),
        node("Sqrt", ["b_used"], ["root"]),
        node("Clip", ["row", "least", "most"], ["row_used"]),
        node("Cast", ["row_used"], ["index"], to=TensorProto.INT64),
        node("Gather", ["rows", "index"], ["shift"], axis=0),
        node("Sub", ["a", "root"], ["difference"]),
        node("Add", ["difference", "shift"], ["z"]),
        node("Sigmoid", ["z"], ["p"]),
    ]
    most = 1 if forgiving else 1e9
    constants = [
        *(numpy_helper.from_array(np.array([n], np.int64), f"{n}") for n in range(3)),
        numpy_helper.from_array(np.array(0, np.float32), "least"),
        numpy_helper.from_array(np.array(most, np.float32), "most"),
        numpy_helper.from_array(np.array([0.0, 0.5], np.float32), "rows"),
    ]
    graph = helper.make_graph(nodes, "roots", columns, [p], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)


@dataclass
class Run:
    """What was sent to one worker, and what came of it."""

    pipeline: PipelineUnderTest
    worker: object
    broken: dict = field(default_factory=dict)
    """(topic, partition, offset) -> (reason, key, value)."""
    good: dict = field(default_factory=dict)
    """The same of good feature records -> id."""
    labels: int = 0
    """Good labels."""
    letters: list = field(default_factory=list)
    predictions: list = field(default_factory=list)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="sent")
async def _sent(bootstrap, tmp_path_factory):
    """A worker and all the cases, each broken record between good neighbours of its batch."""
    name = f"letters{uuid.uuid4().hex[:6]}"
    one = PipelineUnderTest(bootstrap, name, tmp_path_factory.mktemp("dead"))
    path = one.models_dir / one.name / "contract.toml"
    path.write_text(CONTRACT.format(name=one.name))
    one.contract = Contract.load(path)
    with ExitStack() as ending:
        ending.callback(one.stop)
        await one.create()
        await one.publish(model=square_root_model())
        run = Run(one, one.start_worker(max_record_bytes=MAX_RECORD_BYTES))
        await run.worker.ready()
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=300, max_batch_size=1 << 19)
        async with producer:
            await _send_all(run, producer)
        yield run


async def _send_all(run, producer):
    waiting = []

    async def send(topic, value, partition, *outcome, key=b"ann"):
        name = run.pipeline.topics.features if topic == FEATURES else run.pipeline.topics.labels
        if key is None and value is None:  # Kafka takes it, although this client's `send` does not
            batch = producer.create_batch()
            batch.append(key=None, value=None, timestamp=None)
            future = await producer.send_batch(batch, name, partition=partition)
        else:
            future = await producer.send(name, value, key=key, partition=partition)
        waiting.append((future, outcome, value))

    for number, (reason, (topic, value)) in enumerate((r, c) for r, cases in CASES.items() for c in cases):
        partition = number % 2
        before, after = f"{reason}-{number}-before", f"{reason}-{number}-after"
        await send(FEATURES, event(id=before), partition, before)
        # A record without a key is not held against its `key_field`.
        without = reason in (Reason.NULL_VALUE, Reason.SCORING_FAILED) or number % 3 == 0
        key = None if without and reason is not Reason.BAD_ID else b"ann"
        await send(topic, value, partition, reason, key, key=key)
        await send(FEATURES, event(id=after), partition, after)
        await send(LABELS, label(id=before, label=1.0 if number % 3 else 1), partition)
        await send(LABELS, label(id=after, label=0, at=...), partition)
        run.labels += 2
    for future, outcome, value in waiting:
        at = await future
        place = (at.topic, at.partition, at.offset)
        if len(outcome) == 2:
            run.broken[place] = (*outcome, value)
        elif outcome:
            run.good[place] = outcome[0]


@pytest.fixture(name="run")
async def _run(sent, read_all, eventually):
    """The run, once every record has an outcome; read once for the whole module."""
    topics = sent.pipeline.topics

    async def all_have_outcomes():
        sent.letters = await read_all(topics.dead_letters)
        sent.predictions = await read_all(topics.predictions)
        _, performance = await sent.worker.get("/api/performance")
        return (
            len(sent.letters) >= len(sent.broken)
            and len(sent.predictions) >= len(sent.good)
            and performance["labels"]["joined"] >= sent.labels
        )

    if not sent.letters:
        await eventually(all_have_outcomes, deadline_s=30, every_s=0.3)
    return sent


def source_of(record):
    """(topic, partition, offset) in the headers of a prediction or dead letter."""
    headers = dict(record.headers)
    return headers["source-topic"].decode(), int(headers["source-partition"]), int(headers["source-offset"])


@pytest.mark.parametrize("reason", Reason)
async def test_a_broken_record_becomes_exactly_one_dead_letter(reason, run):
    """Every reason has a case, and each case one letter: why, where from, and the original key and bytes."""
    assert CASES[reason], f"give {reason} a case"
    letters = Counter(source_of(letter) for letter in run.letters)
    by_source = {source_of(letter): letter for letter in run.letters}
    for place, (wanted, key, value) in run.broken.items():
        if wanted is not reason:
            continue
        assert letters[place] == 1, (place, value)
        letter = by_source[place]
        headers = {name: content.decode("ascii") for name, content in letter.headers}
        assert headers["reason"] == reason, (value, headers["error"])
        assert headers["error"]
        assert letter.partition == place[1]
        assert abs(float(headers["failed-at"]) - time.time()) < 300
        assert letter.key == key
        if value is CUT:
            assert len(letter.value) < len(value)
            assert value.startswith(letter.value)
            assert headers["truncated"] == "true"
            assert int(headers["size"]) == len(value)
            assert headers["sha256"] == hashlib.sha256(value).hexdigest()
        else:
            assert letter.value == value
            assert not {"truncated", "size", "sha256"} & set(headers)


async def test_every_member_of_the_enum_has_a_case():
    """A reason that is added has to be shown to occur."""
    assert set(CASES) == set(Reason)


async def test_good_neighbours_are_scored_and_nothing_else_is(run):
    """One prediction for each good record, in its partition, none for a broken one; the worker is alive."""
    predictions = {source_of(record): record for record in run.predictions}
    assert len(run.predictions) == len(predictions)
    assert {place: json.loads(record.value)["id"] for place, record in predictions.items()} == run.good
    assert all(record.partition == place[1] for place, record in predictions.items())
    assert len(run.letters) == len(run.broken)
    assert run.worker.process.poll() is None
    assert (await run.worker.get("/healthz"))[0] == 200
    assert (await run.worker.get("/readyz"))[0] == 200


async def test_bad_labels_leave_no_trace_in_the_ledger(run):
    """Good labels beside them are joined - 1.0 is the class 1, a label without `at` gets its record's time."""
    _, performance = await run.worker.get("/api/performance")
    states = performance["labels"]
    assert states == dict.fromkeys(states, 0) | {"joined": run.labels}
    total = performance["total"]
    n = run.labels // 2  # a - sqrt(b) + rows[row] = -0.5 for all: predicted is 0, true is 1 and then 0
    assert (total["n"], total["predicted"], total["accuracy"]) == (2 * n, len(run.good), 0.5)
    assert total["recall"] == 0


async def test_dead_letters_are_counted_by_topic_and_reason(run):
    """`faust_onnx_dead_letters_total` says what is on the topic, and failed scorings count as having met a model."""
    _, text = await run.worker.get("/metrics")
    name = run.pipeline.name
    counted = {}
    for line in text.splitlines():
        if line.startswith("faust_onnx_dead_letters_total{"):
            labels = dict(part.split("=") for part in line[line.index("{") + 1 : line.index("}")].split(","))
            counted[labels["source"].strip('"'), labels["reason"].strip('"')] = float(line.rsplit(" ", 1)[1])
    kinds = {run.pipeline.topics.features: FEATURES, run.pipeline.topics.labels: LABELS}
    expected = Counter((kinds[place[0]], reason.value) for place, (reason, *_) in run.broken.items())
    assert {key: n for key, n in counted.items() if n} == expected
    n_failed = expected[FEATURES, "scoring_failed"]
    assert f'faust_onnx_predictions_total{{model="{name}",result="dlq",version="1"}} {n_failed:.1f}' in text
    assert f'faust_onnx_predictions_total{{model="{name}",result="ok",version="1"}} {len(run.good):.1f}' in text


async def command(run, *arguments):
    """Exit code, JSON and talk of `faust-onnx dead-letters`."""
    one = run.pipeline
    settings = {"broker": one.bootstrap, "pipelines": one.name, "models_dir": one.models_dir}
    return await faust_onnx("dead-letters", *arguments, "--json", **settings)


async def test_listed_and_shown_as_they_are(run):
    """`list` counts what is there, `show` gives one of them whole."""
    expected = Counter(reason.value for reason, *_ in run.broken.values())
    code, listed, _ = await command(run, "list", "--limit", "1000")
    assert (code, listed["by_reason"], listed["total"]) == (0, dict(expected), len(run.broken))
    letter = next(each for each in listed["dead_letters"] if each["reason"] == "scoring_failed")
    code, shown, _ = await command(run, "show", f"{letter['partition']}:{letter['offset']}")
    place = (letter["source_topic"], letter["source_partition"], letter["source_offset"])
    _, key, value = run.broken[place]
    assert (code, shown["value"].encode(), shown["key"]) == (0, value, key and key.decode())


async def test_replayed_after_the_cause_is_gone_or_not(run, read_all, eventually):
    """With a mended model the letters of scoring become predictions; what is broken in itself dies once more."""
    await run.pipeline.publish(model=square_root_model(forgiving=True))
    activation = json.loads((await read_all(run.pipeline.topics.models))[-1].value)
    await eventually(lambda: time.time() > activation["effective_from_s"] + 0.1)
    n_letters = len(run.letters)
    code, answer, _ = await command(run, "replay", "--reason", "scoring_failed")
    assert (code, answer["replayed"]) == (0, len(CASES[Reason.SCORING_FAILED]))
    code, answer, _ = await command(run, "replay", "--reason", "wrong_type")
    assert (code, answer["replayed"]) == (0, len(CASES[Reason.WRONG_TYPE]))
    code, answer, talk = await command(run, "replay", "--reason", "null_value")
    assert code == 0, talk
    assert answer["replayed"] == len(CASES[Reason.NULL_VALUE])
    code, answer, _ = await command(run, "replay", "--reason", "bad_label", "--partition", "0")
    assert code == 0
    assert answer["replayed"] > 1
    expected = Counter({reason.value: len(CASES[reason]) for reason in (Reason.WRONG_TYPE, Reason.NULL_VALUE)})
    expected["bad_label"] = answer["replayed"]

    async def again():
        letters = (await read_all(run.pipeline.topics.dead_letters), await read_all(run.pipeline.topics.predictions))
        return letters if len(letters[0]) >= n_letters + expected.total() and len(letters[1]) > len(run.good) else None

    letters, predictions = await eventually(again, deadline_s=20, every_s=0.3)
    known = {source_of(letter) for letter in run.letters}
    new = [letter for letter in letters if source_of(letter) not in known]
    assert Counter(dict(letter.headers)["reason"].decode() for letter in new) == expected
    failed = {
        (place[1], json.loads(value)["id"], key)
        for place, (reason, key, value) in run.broken.items()
        if reason is Reason.SCORING_FAILED
    }
    replayed = [record for record in predictions if json.loads(record.value)["version"] == 2]
    assert {(record.partition, json.loads(record.value)["id"], record.key) for record in replayed} == failed
    assert len(replayed) == len(failed)
