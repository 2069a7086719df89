"""docs/contracts.md shows records of a real run: they are scored, judged and counted again by the code of today."""

from __future__ import annotations

import json
import math
import re
from functools import partial
from pathlib import Path

import msgspec
import pytest

from app.errors import Reason, Refusal
from app.features import BatchDecoder, Contract, dead_letter
from app.feedback import Kind, decode_labels, decode_predictions, rekey_labels, rekey_predictions
from app.performance import PerformanceIndex, rates
from app.performance.published import counters_json, counters_of_json
from app.records import Activation, Label, Manifest, ModelEvent, Prediction
from app.registry import InForce, Timeline
from app.registry.entries import Ignored
from app.scoring import Scorer, score_batch
from app.web.server import ENDPOINTS
from tests.makers import Given

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```json ([a-z-]+)\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL))
AT_MS = 1795364894276
RECORDS = {
    "prediction": Prediction,
    "label": Label,
    "release": Manifest,
    "activation": Activation,
    "model-event": ModelEvent,
}
given = partial(Given, topic="fraud.features", partition=1, offset=212, timestamp=AT_MS, key=b"site-0656")


@pytest.fixture(name="contract", scope="module")
def _contract():
    return Contract.load(ROOT / "models" / "fraud" / "contract.toml")


@pytest.fixture(name="scored", scope="module")
def _scored(contract):
    """What the code makes of the feature record of the page, with the version that the page says was in force."""
    manifest = json.loads(EXAMPLES["release"])
    model = (ROOT / "models" / "fraud" / "releases" / f"{manifest['version']}.onnx").read_bytes()
    scorer = Scorer.load(model, contract, version=manifest["version"], sha256=manifest["sha256"])
    value = EXAMPLES["feature"].encode()
    return score_batch([given(value)], BatchDecoder(contract), lambda _t_s: scorer, now_s=1795364894.2783487)


def headers_of(section: str) -> dict[str, str]:
    """The headers of the table under the heading *section* and their values in the example."""
    table = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| (`[a-z0-9-]+`(?:, `[a-z0-9-]+`)*) \| (`.+?`(?:, `[^`]+`)*) \|", table, re.MULTILINE)
    return {
        name: value
        for names, values in found
        for name, value in zip(re.findall(r"`(.+?)`", names), re.findall(r"`(.+?)`", values), strict=False)
    }


@pytest.mark.parametrize("name", RECORDS)
def test_examples_have_the_fields_of_their_record_and_no_others(name):
    """A field that is shown is one that is written, in the form in which it is written."""
    example = json.loads(EXAMPLES[name])
    record = msgspec.json.decode(EXAMPLES[name], type=RECORDS[name])

    assert msgspec.to_builtins(record) == example


def test_the_prediction_is_what_the_model_says_of_the_feature_record(scored):
    """Same record, same released model: value, headers, key and timestamp are those on the page."""
    (made,) = scored.predictions
    shown, now = json.loads(EXAMPLES["prediction"]), json.loads(made.value)

    assert math.isclose(now.pop("score"), shown.pop("score"), rel_tol=1e-5)
    assert now == shown
    assert {name: value.decode() for name, value in made.headers} == headers_of("Prediction")
    assert (made.key, made.timestamp_ms) == (b"site-0656", AT_MS)


def test_prediction_and_label_meet(contract):
    """Both are good, and of one id."""
    (prediction,), _ = decode_predictions([given(EXAMPLES["prediction"].encode())], contract)
    (label,), _ = decode_labels([given(EXAMPLES["label"].encode())], contract)

    assert prediction.key == label.key


def test_the_ledger_topic_has_the_prediction_and_the_label(contract):
    """What the page shows is what the two records above it become, and both under one key."""
    prediction = given(EXAMPLES["prediction"].encode(), topic="fraud.predictions")
    label = given(EXAMPLES["label"].encode(), topic="fraud.labels", timestamp=1795364896480)
    made = {
        "ledger-prediction": rekey_predictions([prediction], contract, 1).records[0],
        "ledger-label": rekey_labels([label], contract, 1).records[0],
    }

    for name, (record,) in made.items():
        assert (record.key, record.value.decode()) == (b"site-0656", EXAMPLES[name])


def test_the_dead_letter_died_of_what_its_headers_say(contract):
    """The decoder refuses the record of the page for the reason of the page, and the letter has the page's headers."""
    record = given(EXAMPLES["dead-letter"].encode(), offset=52, timestamp=1795364887611, key=b"site-0150")
    (rejected,) = BatchDecoder(contract).decode([record]).rejected
    letter = dead_letter(record, rejected.reason, rejected.error, failed_at_s=1795364887.6139584)
    shown = headers_of("Dead letter")

    assert {name: value.decode() for name, value in letter.headers} == shown


def test_release_and_activation_are_of_the_released_model(contract):
    """The timeline takes both, and the version is in force exactly from its time on."""
    timeline = Timeline("fraud")
    assert timeline.feed(3, 1795364889260, b"release/2", EXAMPLES["release"].encode()) is None
    assert timeline.feed(5, 1795364889508, b"activation/2", EXAMPLES["activation"].encode()) is None
    timeline.mark_accepted(2)

    assert timeline.manifest(2).contract_sha256 == contract.model_sha256
    assert timeline.in_force(1795364891.997194) == InForce(2, 2)
    assert timeline.standing(2).on_time


def test_performance_rates_follow_from_the_counters(contract):
    """What stands beside the counters is what is derived from them."""
    record = json.loads(EXAMPLES["performance"])
    counters = counters_of_json(record, contract)
    derived = counters_json(counters, contract) | rates(counters, contract)

    assert derived == {name: record[name] for name in derived}
    assert {
        "version",
        "slice",
        "window_s",
        "start_s",
        "end_s",
        "partition",
        "positions",
    } == record.keys() - derived.keys()


def test_performance_and_ledger_are_records_of_one_index(contract):
    """A reader of the topic takes both, and the pane is part of the totals."""
    index = PerformanceIndex(contract)
    index.feed(b"2/all/10/1795364890/1", EXAMPLES["performance"].encode())
    index.feed(b"ledger/1", EXAMPLES["ledger"].encode())
    answer = index.query(version=2)

    assert index.ignored == 0
    assert answer["total"] == {name: answer["panes"][0][name] for name in answer["total"]}
    assert answer.keys() == json.loads(EXAMPLES["api-performance"]).keys()
    assert answer["labels"].keys() == json.loads(EXAMPLES["api-performance"])["labels"].keys()


def test_every_code_that_programs_meet_is_named():
    """Reasons, states, refusals and endpoints are closed sets, and all of their members are on the page."""
    states = set(Kind) - {Kind.PREDICTED}
    for code in [*Reason, *Refusal, *Ignored, *states, *ENDPOINTS]:
        assert f"`{code}`" in TEXT, code
