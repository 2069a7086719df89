"""One worker with a multiclass pipeline and a regression, both on real data and with models converted as users do."""

# ruff: noqa: PLC0415 - scikit-learn takes a second to import, which only this module's tests shall pay

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from app.features import Contract
from tests.workers import PipelineUnderTest

pytestmark = pytest.mark.broker

MULTICLASS = """
name = "{name}"
task = "multiclass"
classes = ["virginica", "setosa", "versicolor", "never"]
id_field = "plant.id"
label_horizon_s = 60
windows_s = [60, 3600]
features = [{features}]
"""
REGRESSION = """
name = "{name}"
task = "regression"
id_field = "id"
event_time_field = "seen_at"
event_time_format = "iso8601"
label_horizon_s = 60
windows_s = [60]
features = [{features}]
"""


def flowers():
    """Irises: model of three named classes and one that never occurs, rows, truths."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data = load_iris()
    x, y = data.data.astype(np.float32), data.target_names[data.target].astype(object)
    # A class without any row in the stream: the model knows it from one row far away.
    x_train, y_train = np.vstack([x[::4], [[99.0] * 4]]).astype(np.float32), [*y[::4], "never"]
    model = LogisticRegression(C=0.05, max_iter=2000).fit(x_train, y_train)
    return SimpleNamespace(onnx=to_onnx(model, x[:1]).SerializeToString(), x=x, y=y, model=model)


def patients():
    """Diabetes: a regressor on ten columns, rows, truths."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor

    data = load_diabetes()
    x = data.data.astype(np.float32)
    model = GradientBoostingRegressor(n_estimators=30, random_state=0).fit(x[::3], data.target[::3])
    return SimpleNamespace(onnx=to_onnx(model, x[:1]).SerializeToString(), x=x, y=data.target, model=model)


async def send(one, rows, y, *, to_event):
    """Each row as an event and its truth as a label, except every tenth."""
    async with AIOKafkaProducer(bootstrap_servers=one.bootstrap, linger_ms=20) as producer:
        waiting = []
        for n, row in enumerate(rows):
            key = b"k%d" % (n % 5)
            event = json.dumps(to_event(n, [float(value) for value in row])).encode()
            waiting.append(await producer.send(one.topics.features, event, key=key))
            if n % 10:
                truth = y[n] if isinstance(y[n], str) else float(y[n])
                label = json.dumps({"id": f"{n}", "label": truth}).encode()
                waiting.append(await producer.send(one.topics.labels, label, key=key))
        await asyncio.gather(*waiting)


def pipeline_of(bootstrap, name, folder, contract, n_columns):
    """A pipeline with that contract."""
    one = PipelineUnderTest(bootstrap, name, folder)
    features = ", ".join(f'{{ name = "x{n}" }}' for n in range(n_columns))
    path = one.models_dir / name / "contract.toml"
    path.write_text(contract.format(name=name, features=features))
    one.contract = Contract.load(path)
    return one


async def total_of(worker, one, n, eventually):
    """`total` of the pipeline, once *n* labels were joined."""

    async def counted():
        _, answer = await worker.get(f"/api/performance?pipeline={one.name}")
        return answer if answer["labels"]["joined"] >= n else None

    return (await eventually(counted, deadline_s=20))["total"]


def flower(n, row):
    """An iris as an event: its id is a number inside an object."""
    return {"plant": {"id": n}, **{f"x{i}": value for i, value in enumerate(row)}}


def patient(n, row):
    """A patient as an event with its time as text."""
    seen_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"id": str(n), "seen_at": seen_at, **{f"x{i}": value for i, value in enumerate(row)}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="both")
async def _both(bootstrap, tmp_path_factory):
    """A worker that serves both pipelines, `irises` and `patients` with what was sent to them as `made`."""
    folder, tail = tmp_path_factory.mktemp("tasks"), uuid.uuid4().hex[:6]
    irises = pipeline_of(bootstrap, f"irises{tail}", folder, MULTICLASS, 4)
    sick = pipeline_of(bootstrap, f"patients{tail}", folder, REGRESSION, 10)
    with ExitStack() as ending:
        ending.callback(irises.stop)
        irises.made, sick.made = flowers(), patients()
        for one in (irises, sick):
            await one.create()
            await one.publish(model=one.made.onnx)
        worker = await irises.start_worker(pipelines=f"{irises.name},{sick.name}").ready()
        await send(irises, irises.made.x, irises.made.y, to_event=flower)
        await send(sick, sick.made.x[:200], sick.made.y, to_event=patient)
        yield SimpleNamespace(worker=worker, irises=irises, patients=sick)


async def predictions_of(one, read_all):
    """The predictions by the number of their row."""
    made = (json.loads(record.value) for record in await read_all(one.topics.predictions))
    return {int(each["id"]): each for each in made}


async def test_a_multiclass_pipeline_is_measured_as_scikit_learn_does(both, read_all, eventually):
    """Scores in contract order; accuracy, macro and per-class rates, log loss; a class that never occurs is no part."""
    from sklearn import metrics

    made, names = both.irises.made, ["virginica", "setosa", "versicolor", "never"]
    labelled = np.arange(150) % 10 > 0
    total = await total_of(both.worker, both.irises, labelled.sum(), eventually)
    predictions = await predictions_of(both.irises, read_all)

    columns = [list(made.model.classes_).index(name) for name in names]
    scores = made.model.predict_proba(made.x)[:, columns]
    np.testing.assert_allclose([predictions[n]["scores"] for n in range(150)], scores, rtol=1e-4, atol=1e-6)
    y_true = made.y[labelled].astype(str)
    y_pred = np.array([predictions[n]["prediction"] for n in np.flatnonzero(labelled)])
    assert (total["n"], total["predicted"], total["coverage"]) == (135, 150, 0.9)
    assert total["accuracy"] == pytest.approx(metrics.accuracy_score(y_true, y_pred))
    assert 0.5 < total["accuracy"] < 1
    seen = names[:3]
    macro = metrics.precision_recall_fscore_support(y_true, y_pred, labels=seen, average="macro", zero_division=0)
    assert [total[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(macro[:3]))
    each = metrics.precision_recall_fscore_support(y_true, y_pred, labels=seen, zero_division=0)
    assert set(total["classes"]) == set(seen)
    for n, name in enumerate(seen):
        found = [total["classes"][name].get(rate, 0) for rate in ("precision", "recall", "f1")]
        assert found == pytest.approx([each[rate][n] for rate in range(3)])
    truths = [names.index(name) for name in y_true]
    loss = metrics.log_loss(truths, scores[labelled], labels=range(4))
    assert total["log_loss"] == pytest.approx(loss, rel=1e-4)


async def test_a_regression_is_measured_as_scikit_learn_does(both, read_all, eventually):
    """Numbers without scores; MAE and RMSE over HTTP, and the same from the sums in Prometheus."""
    made, labelled = both.patients.made, np.arange(200) % 10 > 0
    total = await total_of(both.worker, both.patients, labelled.sum(), eventually)
    predictions = await predictions_of(both.patients, read_all)

    wanted = made.model.predict(made.x[:200])
    np.testing.assert_allclose([predictions[n]["prediction"] for n in range(200)], wanted, rtol=1e-4)
    assert not {"score", "scores"} & set(predictions[0])
    error = np.abs(wanted - made.y[:200])[labelled]
    assert set(total) == {"n", "predicted", "coverage", "mae", "rmse"}
    assert (total["n"], total["predicted"]) == (180, 200)
    assert total["mae"] == pytest.approx(error.mean(), rel=1e-5)
    assert total["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    _, text = await both.worker.get("/metrics")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    of = f'{{model="{both.patients.name}",version="1"}}'
    assert float(samples[f"faust_onnx_error_count{of}"]) == 180
    assert float(samples[f"faust_onnx_error_sum{of}"]) / 180 == pytest.approx(total["mae"])
    assert float(samples[f"faust_onnx_sq_error_sum{of}"]) / 180 == pytest.approx(total["rmse"] ** 2)


async def test_two_pipelines_in_one_worker_keep_apart(both):
    """The API wants to know which one is meant, and the verifier finds each one right."""
    names = [both.irises.name, both.patients.name]
    status, told = await both.worker.get("/api/performance")
    assert (status, told["parameter"], told["pipelines"]) == (400, "pipeline", names)
    _, told = await both.worker.get("/api/status")
    assert [told["pipelines"][name]["predictions"] for name in names] == [150, 200]
    for one in (both.irises, both.patients):
        await one.verify("--no-faults", "--app-id", f"app-{both.irises.name}")
