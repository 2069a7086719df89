"""What two workers of one pipeline answer over HTTP, against a recount of what stands on its topics."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import time
import uuid
from collections import Counter, defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from tests.workers import ROOT, PipelineUnderTest

pytestmark = pytest.mark.broker

PARTITIONS = 4
FOREIGN = 77
"""The version that another program's predictions say they were made by."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="started")
async def _started(bootstrap, tmp_path_factory):
    """Two workers on four partitions, two versions and another program's predictions; `one`, `first`, `second`."""
    one = PipelineUnderTest(bootstrap, f"web{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("http"), partitions=4)
    with ExitStack() as ending:
        ending.callback(one.stop)
        await one.create()
        await one.publish()
        rng = random.Random(5)
        run = SimpleNamespace(one=one, first=await one.start_worker().ready(), alone=None)
        await one.feed(600, rng=rng)
        run.alone = await _metrics_when(run.first, _all_partitions_have_lag)
        run.second = await one.start_worker().ready()
        published = await one.publish(weights=(1.0, 0.2))
        await _foreign(one, rng)
        while time.time() < published.activation.effective_from_s + 0.2:
            await one.feed(60, rng=rng)
            await asyncio.sleep(0.2)
        await one.feed(600, rng=rng)
        yield run


def _all_partitions_have_lag(text):
    return len(series(text, "faust_onnx_consumer_lag")) == 3 * PARTITIONS


async def _metrics_when(worker, condition):
    deadline = time.monotonic() + 20
    while True:
        _, text = await worker.get("/metrics")
        if condition(text):
            return text
        assert time.monotonic() < deadline, text
        await asyncio.sleep(0.1)


async def _foreign(one, rng):
    """Predictions by another program: no headers, no score, no model; and labels; and two that are no predictions."""
    waiting = []
    async with AIOKafkaProducer(bootstrap_servers=one.bootstrap, linger_ms=5) as producer:
        for n in range(120):
            key, at = f"user-{n % 17}".encode(), time.time() - n % 3 * 10  # so that panes are several
            made = {"id": f"foreign-{n}", "version": FOREIGN, "prediction": n % 2, "event_at": at, "unknown": {"x": 1}}
            waiting.append(await producer.send(one.topics.predictions, json.dumps(made).encode(), key=key))
            if rng.random() < 0.7:
                label = {"id": made["id"], "label": int(rng.random() < 0.4), "at": at + 1}
                waiting.append(await producer.send(one.topics.labels, json.dumps(label).encode(), key=key))
        broken = b"{nothing", b'{"id": "x", "version": 1, "prediction": 5, "event_at": 1}'
        waiting += [await producer.send(one.topics.predictions, value, partition=3) for value in broken]
        await asyncio.gather(*waiting)


class Event:
    """A prediction as recounted, and the label joined to it."""

    def __init__(self, prediction):
        self.at, self.version = prediction["event_at"], prediction["version"]
        self.predicted, self.score = prediction["prediction"], prediction.get("score")
        self.label = None


def recounted(predictions, labels, horizon_s):
    """Every distinct prediction with the label that belongs to it; good for runs shorter than the horizon."""
    events = {}
    for record in predictions:
        prediction = _json(record)
        if prediction is not None and prediction["prediction"] in (0, 1):
            events.setdefault(prediction["id"], Event(prediction))
    first = {}
    for record in labels:
        label = json.loads(record.value)
        first.setdefault(label["id"], label)
    for id_, label in first.items():
        if id_ in events and label["at"] - events[id_].at <= horizon_s:
            events[id_].label = label["label"]
    return list(events.values())


def _json(record):
    try:
        return json.loads(record.value)
    except ValueError:
        return None


def expected_rates(events):
    """What the API has to say of *events*, from its definition."""
    joined = [event for event in events if event.label is not None]
    cells = Counter((event.label, event.predicted) for event in joined)
    found = {"n": len(joined), "predicted": len(events)}
    if events:
        found["coverage"] = len(joined) / len(events)
    if joined:
        found["accuracy"] = (cells[0, 0] + cells[1, 1]) / len(joined)
    for name, over in (("precision", (1, 1, 0, 1)), ("recall", (1, 1, 1, 0))):
        if count := cells[over[:2]] + cells[over[2:]]:
            found[name] = cells[1, 1] / count
    if count := 2 * cells[1, 1] + cells[0, 1] + cells[1, 0]:
        found["f1"] = 2 * cells[1, 1] / count
    losses = [-math.log(e.score if e.label == 1 else 1 - e.score) for e in joined if e.score is not None]
    if losses:
        found["log_loss"] = sum(losses) / len(losses)
    return found


def series(text, name):
    """The samples of a metric: frozenset of its labels -> value."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line):
            labels = re.findall(r'(\w+)="([^"]*)"', match[1] or "")
            found[frozenset(labels)] = float(match[2])
    return found


@pytest.fixture(name="run")
async def _run(started, read_all, eventually):
    """The run, once all of it was counted: `events` recounted, `now_s` the furthest event time."""
    if not hasattr(started, "events"):
        topics = started.one.topics

        async def counted():
            features, predictions, labels, letters, performance = [
                await read_all(topic)
                for topic in (
                    topics.features, topics.predictions, topics.labels, topics.dead_letters, topics.performance
                )
            ]  # fmt: skip
            started.features, started.predictions, started.labels = features, predictions, labels
            started.letters = letters
            ends = Counter((record.topic, record.partition) for record in predictions + labels)
            ledgers = {r.key: json.loads(r.value) for r in performance if r.key.startswith(b"ledger/")}
            return (
                len(ledgers) == PARTITIONS
                and all(
                    (ledger["positions"]["predictions"], ledger["positions"]["labels"])
                    == (ends[topics.predictions, ledger["partition"]], ends[topics.labels, ledger["partition"]])
                    for ledger in ledgers.values()
                )
                and len(predictions) + len(letters) == len(features) + 120 + 2 + 2
            )

        await eventually(counted, deadline_s=30, every_s=0.3)
        started.events = recounted(started.predictions, started.labels, started.one.horizon_s)
        told = [_json(record) for record in started.predictions]
        started.now_s = max(
            min(each["event_at"], record.timestamp / 1000 + 60)
            for each, record in zip(told, started.predictions, strict=True)
            if each is not None
        )
        # the readers of `performance` follow within a moment
        for worker in (started.first, started.second):
            await eventually(lambda worker=worker: _predicted(worker, len(started.events)), every_s=0.1)
    return started


async def _predicted(worker, n):
    _, answer = await worker.get("/api/performance")
    return answer["total"]["predicted"] == n


def assert_rates(answer, events):
    """*answer* has exactly the numbers of *events*."""
    wanted = expected_rates(events)
    assert set(answer) - {"start_s", "end_s"} == set(wanted)
    for name, value in wanted.items():
        assert answer[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("version", [None, 1, 2, FOREIGN])
async def test_totals_and_panes_are_those_of_a_recount(run, version):
    """Each worker answers for the whole pipeline: totals, panes of both windows, `now`; per version and together."""
    events = [event for event in run.events if version in (None, event.version)]
    assert len(events) > 100
    for window_s in (10, 60):
        query = f"/api/performance?pipeline={run.one.name}&window={window_s}&version={version or ''}"
        answers = [await worker.get(query) for worker in (run.first, run.second)]
        assert answers[0] == answers[1]
        status, answer = answers[0]
        assert status == 200
        assert (answer["pipeline"], answer.get("version"), answer["window_s"]) == (run.one.name, version, window_s)
        assert_rates(answer["total"], events)
        panes = defaultdict(list)
        for event in events:
            panes[event.at // window_s * window_s].append(event)
        assert [pane["start_s"] for pane in answer["panes"]] == sorted(panes)
        for pane in answer["panes"]:
            assert pane["end_s"] == pane["start_s"] + window_s
            assert_rates(pane, panes[pane["start_s"]])
        now = [e for e in events if run.now_s - window_s < e.at // 10 * 10 <= run.now_s]
        assert_rates(answer["now"], now)


async def test_from_and_to_bound_panes_and_their_total(run):
    """[from, to) by the panes' start, as epoch seconds and as ISO 8601; outside there is nothing."""
    starts = sorted({event.at // 10 * 10 for event in run.events})
    since, until = starts[1], starts[-1]
    wanted = [event for event in run.events if since <= event.at // 10 * 10 < until]
    iso = [datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") for at in (since, until)]
    for since_text, until_text in ((f"{since:.1f}", f"{until:.0f}"), iso):
        _, answer = await run.second.get(f"/api/performance?window=10&from={since_text}&to={until_text}")
        assert [pane["start_s"] for pane in answer["panes"]] == starts[1:-1]
        assert_rates(answer["total"], wanted)
    _, answer = await run.second.get(f"/api/performance?to={starts[0]:.0f}")
    assert (answer["panes"], answer["total"]) == ([], {"n": 0, "predicted": 0})
    _, answer = await run.second.get("/api/performance?version=12")
    assert (answer["panes"], answer["total"]["predicted"]) == ([], 0)


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("?pipeline=nothing", 404, "nothing"),
        ("?window=61", 400, "window"),
        ("?version=one", 400, "version"),
        ("?version=0", 400, "version"),
        ("?from=yesterday", 400, "from"),
        ("?from=20&to=10", 400, "from"),
        ("?windows=10", 400, "did you mean window"),
        ("?window=10&window=60", 400, "window"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(run, query, status, word):
    """400 names the parameter and gives an example, 404 lists the pipelines."""
    answered, body = await run.first.get(f"/api/performance{query}")
    assert answered == status
    assert word in body["error"]
    assert body["pipelines"] == [run.one.name]
    assert status == 404 or body["example"]


async def test_label_states_are_complete(run):
    """Every good label is in one state; none waits for ever for what was predicted."""
    _, answer = await run.first.get("/api/performance")
    states = answer["labels"]
    kinds = ("pending", "joined", "expired", "orphan", "duplicate", "conflicting", "too_late")
    assert sum(states[kind] for kind in kinds) == len(run.labels)
    assert states["joined"] == sum(event.label is not None for event in run.events)
    assert states["duplicate_prediction"] == states["pending_dropped"] == 0
    assert states["expired"] > 0
    assert states["duplicate"] + states["conflicting"] > 0


async def test_another_programs_predictions_are_joined_without_a_score(run):
    """`id`, `version`, `prediction` and `event_at` are enough; what is no prediction becomes a dead letter."""
    _, answer = await run.first.get(f"/api/performance?version={FOREIGN}")
    assert answer["total"]["predicted"] == 120
    assert 60 < answer["total"]["n"] < 110
    assert "log_loss" not in answer["total"]
    broken = [
        (dict(letter.headers)["reason"], letter.partition)
        for letter in run.letters
        if dict(letter.headers)["source-topic"].decode() == run.one.topics.predictions
    ]
    assert broken == [(b"not_json", 3), (b"wrong_type", 3)]


async def test_accuracy_follows_from_the_counters_of_prometheus(run):
    """Summed over the workers, outcomes and confusion give the API's numbers for each version."""
    texts = [(await worker.get("/metrics"))[1] for worker in (run.first, run.second)]
    for version in (1, 2, FOREIGN):
        outcomes, cells = Counter(), Counter()
        for text in texts:
            for labels, n in series(text, "faust_onnx_outcomes_total").items():
                if dict(labels)["version"] == str(version):
                    outcomes[dict(labels)["correct"]] += n
            for labels, n in series(text, "faust_onnx_confusion_total").items():
                if dict(labels)["version"] == str(version):
                    cells[dict(labels)["actual"], dict(labels)["predicted"]] += n
        wanted = expected_rates([event for event in run.events if event.version == version])
        assert outcomes.total() == cells.total() == wanted["n"]
        assert outcomes["true"] / outcomes.total() == pytest.approx(wanted["accuracy"])
        assert (cells["0", "0"] + cells["1", "1"]) / cells.total() == pytest.approx(wanted["accuracy"])
        assert cells["1", "1"] / (cells["1", "1"] + cells["0", "1"]) == pytest.approx(wanted["precision"])
    losses = [series(text, f"faust_onnx_log_loss_{part}") for part in ("sum", "count") for text in texts]
    total = [sum(n for found in pair for labels, n in found.items() if dict(labels)["version"] == "1")
             for pair in (losses[:2], losses[2:])]  # fmt: skip
    wanted = expected_rates([event for event in run.events if event.version == 1])
    assert total[0] / total[1] == pytest.approx(wanted["log_loss"])


async def test_counters_of_scoring_add_up_to_what_is_on_the_topics(run):
    """Predictions by version and dead letters over both workers; the batch histogram holds every feature record."""
    texts = [(await worker.get("/metrics"))[1] for worker in (run.first, run.second)]
    counted = Counter()
    for text in texts:
        for labels, n in series(text, "faust_onnx_predictions_total").items():
            counted[dict(labels)["version"], dict(labels)["result"]] += n
    ours = Counter(str(event.version) for event in run.events if event.version != FOREIGN)
    assert {version: n for (version, result), n in counted.items() if result == "ok"} == ours
    assert all(n == 0 for (_, result), n in counted.items() if result == "dlq")
    letters = Counter()
    for text in texts:
        for labels, n in series(text, "faust_onnx_dead_letters_total").items():
            letters[dict(labels)["source"]] += n
    assert letters["features"] == len(run.features) - ours.total()
    assert letters["predictions"] > 0  # the other program's bad ones
    sizes = sum(sum(series(text, "faust_onnx_batch_size_sum").values()) for text in texts)
    assert sizes == len(run.features)


async def test_the_version_in_force_is_shown(run):
    """`model_info` has one series, of the last version, and each worker that scored on both sides timed the swap."""
    by_second = (record for record in run.predictions if b'"version":2,' in record.value)
    sha256 = dict(next(by_second).headers)["model-sha256"].decode()
    swaps = 0
    for worker in (run.first, run.second):
        _, text = await worker.get("/metrics")
        [info] = series(text, "faust_onnx_model_info")
        labels = dict(info)
        assert (labels["model"], labels["version"]) == (run.one.name, "2")
        assert labels["sha256_12"] == sha256[:12]
        [activated] = series(text, "faust_onnx_model_activated_timestamp_seconds").values()
        assert time.time() - 300 < activated < time.time()
        swaps += sum(series(text, "faust_onnx_model_swap_seconds_count").values())
        updates = series(text, "faust_onnx_model_updates_total")
        assert {(dict(u)["result"], n) for u, n in updates.items()} >= {("accepted", 2.0), ("activated", 2.0)}
    assert swaps >= 1


async def test_series_of_a_partition_go_with_it(run):
    """Alone the first worker had every partition; now the two share them, and neither shows the other's."""
    alone = {(dict(s)["topic"], dict(s)["partition"]) for s in series(run.alone, "faust_onnx_consumer_lag")}
    assert len(alone) == 3 * PARTITIONS
    shown = []
    for worker in (run.first, run.second):
        _, text = await worker.get("/metrics")
        _, status = await worker.get("/api/status")
        assigned = {str(partition) for partition in status["pipelines"][run.one.name]["assigned"]}
        for name in ("consumer_lag", "consumer_lag_seconds", "last_event_timestamp_seconds"):
            found = series(text, f"faust_onnx_{name}")
            assert {dict(s)["partition"] for s in found} <= assigned, name
        lags = {(dict(s)["topic"], dict(s)["partition"]) for s in series(text, "faust_onnx_consumer_lag")}
        pending = {dict(s)["partition"] for s in series(text, "faust_onnx_labels_pending")}
        assert pending <= assigned
        shown.append(lags)
        [*counts] = series(text, "faust_onnx_assigned_partitions").items()
        features = [n for labels, n in counts if dict(labels)["topic"] == run.one.topics.features]
        assert features == [len(assigned)] == [2]
    assert shown[0] | shown[1] == alone
    assert not shown[0] & shown[1]


async def test_every_metric_shown_is_documented(run):
    """Nothing stands on /metrics that docs/metrics.md does not explain."""
    known = set(re.findall(r"^\| `(faust_onnx_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    for worker in (run.first, run.second):
        _, text = await worker.get("/metrics")
        shown = set(re.findall(r"^# TYPE (faust_onnx_\w+) ", text, re.MULTILINE))
        assert shown
        assert shown <= known


async def lags_nowhere(worker):
    """Whether the worker has consumed all there is of its partitions."""
    _, told = await worker.get("/api/status")
    return {lag for lags in told["lag"].values() for lag in lags.values()} == {0}


async def test_health_and_status_tell_of_the_worker(run, eventually):
    """Healthy, ready, and what `status` says is what is so."""
    for worker in (run.first, run.second):
        # It is measured once a second, and later where the machine is busy.
        await eventually(lambda worker=worker: lags_nowhere(worker))
        assert await worker.get("/healthz") == (200, {"alive": True})
        assert await worker.get("/readyz") == (200, {"ready": True, "reasons": []})
        status, told = await worker.get("/api/status")
        assert (status, told["pid"], told["ready"]) == (200, worker.process.pid, True)
        pipeline = told["pipelines"][run.one.name]
        assert pipeline["partitions"] == PARTITIONS
        assert pipeline["models"]["current"] == {"version": 2, "sequence": 2}
        assert pipeline["version"] == 2
        assert pipeline["topics"] == run.one.topics._asdict()
        assert told["app_id"] == f"app-{run.one.name}"
        ready = json.loads(worker.ready_file.read_text())
        assert ready == {"http": worker.url, "pid": worker.process.pid}
        assert (await worker.get("/nothing"))[0] == 404


async def test_the_verifier_agrees(run):
    """The independent checker finds the same: exactly one outcome for each record, and every pane right."""
    await run.one.verify("--no-faults")
