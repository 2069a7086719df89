"""From a file to predictions on a topic: what the worker says of the rows is what scikit-learn says of them."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest

from app.features import BatchDecoder, Contract
from app.tables import open_table, records_of
from app.training.codes import matrix_of
from app.training.dataset import DatasetReader
from app.training.layout import Layout
from app.training.train import Training
from tests.programs import faust_onnx

pytestmark = pytest.mark.broker
N_ROWS = 400


@pytest.fixture(name="customers")
def _customers(tmp_path):
    """A CSV file of made-up customers with texts, booleans, missing numbers and times; some rows lack their label."""
    rng = np.random.default_rng(5)
    path = tmp_path / "customers.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "since", "plan", "calls", "roaming", "minutes", "left"])
        for number in range(N_ROWS):
            plan, calls, minutes = rng.choice(["basic", "plus", "größte"]), int(rng.poisson(4)), rng.gamma(2, 10)
            leaves = calls + 3 * (plan == "basic") - minutes / 20 + rng.logistic() > 5
            since = f"2026-01-{1 + number // 20:02}T{number % 20:02}:00:00Z"
            roaming = ["true", "false"][int(rng.integers(2))]
            shown = "" if rng.random() < 0.1 else f"{minutes:.2f}"
            label = "" if number % 50 == 7 else ["no", "yes"][int(leaves)]
            rows.writerow([f"c-{number}", since, plan, calls, roaming, shown, label])
    return path


async def test_three_commands_make_a_worker_answer_as_scikit_learn(
    customers, bootstrap, unique, tmp_path, produce, read_all, eventually, pipeline
):
    """init, train --activate, worker: each row of the file is predicted on the topic, with the very probability."""
    one = pipeline()
    one.name = unique()
    one.folder = tmp_path
    one.models_dir = tmp_path / "models"
    settings = {"broker": bootstrap, "models_dir": one.models_dir, "partitions": 2}
    names = ("--id", "customer", "--time", "since")
    code, _, error = await faust_onnx(
        "init", "--from", customers, "-P", one.name, "--label", "left", *names, "--quiet", **settings
    )
    assert (code, error) == (0, "")
    contract = Contract.load(one.models_dir / one.name / "contract.toml")
    one.topics = contract.topics
    code, _, error = await faust_onnx("topics", "create", "-P", one.name, **settings)
    assert code == 0, error

    code, report, error = await faust_onnx(
        "model", "train", customers, "-P", one.name, "--activate", "--json", **settings
    )

    assert (code, error) == (0, "")
    assert (report["rows"]["unlabelled"], report["rows"]["trained"]) == (8, N_ROWS - 8)
    assert report["split"] == "5 folds by time, each trained on all that was before it"
    published = report["published"]
    assert (published["version"], published["activation"]["version"]) == (1, 1)
    assert published["sha256"] == report["model"]["sha256"]
    assert published["contract_sha256"] == contract.model_sha256
    assert published["note"].startswith(f"{report['chosen']} on 392 rows of customers.csv: log loss 0.")

    table = open_table(customers)
    (batch,) = table.batches()
    records = records_of(contract, batch, is_text=table.is_text)
    await one.start_worker().ready()
    await produce(contract.topics.features, [{"value": each.value, "key": b"%d" % each.offset} for each in records])

    async def predicted():
        found = await read_all(contract.topics.predictions)
        return found if len(found) == N_ROWS else None

    answers = {}
    for record in await eventually(predicted, deadline_s=60, every_s=0.3):
        assert dict(record.headers)["model-sha256"].decode() == published["sha256"]
        prediction = json.loads(record.value)
        answers[prediction["id"]] = prediction
    finished, matrix = trained_here(contract, batch, report["chosen"])
    assert hashlib.sha256(finished.model).hexdigest() == published["sha256"]
    expected = finished.fitted.numbers(matrix, 2)[:, contract.positive_index]
    scores = np.array([answers[f"c-{number}"]["score"] for number in range(N_ROWS)])
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    for number in range(N_ROWS):
        said = answers[f"c-{number}"]["prediction"]
        assert said == ("yes" if scores[number] >= contract.threshold else "no")


def trained_here(contract, batch, name):
    """The same training in this process: the model, and the matrix of all rows as scikit-learn is given it."""
    layout = Layout(contract)
    reader = DatasetReader(layout, is_text=True, n_max=None, seed=0)
    reader.add(batch)
    training = Training(layout, reader.dataset(), reader.counts, None, seed=0)
    comparison = training.judge()
    assert comparison.best.name == name
    finished = training.finish(comparison)
    vocabularies = [each.codes_of for each in finished.fitted.vocabularies]
    return finished, matrix_of(decoded(contract, batch), layout, vocabularies)


def decoded(contract, batch):
    """All rows of *batch*, labelled or not."""
    return BatchDecoder(contract).decode(records_of(contract, batch, is_text=True))
