"""`faust-onnx init --from-topic`: a contract for events that are on a topic already."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from app.features import BatchDecoder, Contract
from tests.programs import ROOT, faust_onnx

pytestmark = pytest.mark.broker
DOC = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
COMMAND = next(line for line in DOC.splitlines() if line.startswith("$ faust-onnx init --from-topic"))
EVENT = json.loads(re.search(r"```json\n(.*?)```", DOC, re.DOTALL)[1])


@pytest.fixture(name="topics")
def _topics(unique, create_topics, produce):
    """Make two topics of three partitions, events like that of the page and labels for them, and send these."""

    async def make(n_events=300, broken=()):
        events, labels = unique("payments"), unique("chargebacks")
        await create_topics({events: 3, labels: 3})
        made = []
        for n in range(n_events):
            payment = {**EVENT["payment"], "id": f"t-{n}", "amount": n * n % 97 + 0.5, "at": EVENT["payment"]["at"] + n}
            account = f"a-{n % 40}"
            event = {"payment": payment, "account": account, "channel": ["web", "app"][n % 2]}
            made.append({"value": json.dumps(event).encode(), "key": account.encode(), "partition": n % 3})
        await produce(events, [*made, *({"value": value, "key": b"k", "partition": 1} for value in broken)])
        truth = [
            json.dumps({"id": f"t-{n}", "label": ["genuine", "fraud", "genuine"][n % 3]}).encode() for n in range(90)
        ]
        await produce(labels, truth)
        return events, labels

    return make


async def test_the_command_of_the_page_writes_a_contract_by_which_the_topic_is_good(
    topics, bootstrap, tmp_path, read_all
):
    """Nested paths, the two topics, classes from the labels topic; all records are decoded by it, keys compared."""
    events, labels = await topics()
    words = shlex.split(
        COMMAND.replace("payments", events).replace("chargebacks", labels).removeprefix("$ faust-onnx ")
    )

    code, report, said = await faust_onnx(*words, "--json", broker=bootstrap, models_dir=tmp_path)

    assert (code, said) == (0, "")
    contract = Contract.load(tmp_path / "fraud" / "contract.toml")
    assert (contract.topics.features, contract.topics.labels) == (events, labels)
    assert (contract.classes, contract.positive) == (("fraud", "genuine"), "fraud")
    assert (contract.id_path, contract.key_path) == (("payment", "id"), ("account",))
    assert (contract.event_time_path, contract.event_time_format) == (("payment", "at"), "ms")
    assert {f.path: f.dtype for f in contract.features} == {("payment", "amount"): "float", ("channel",): "string"}
    assert report["checked"] == {"rows": 300, "accepted": 300, "refused": {}}
    assert BatchDecoder(contract).decode(await read_all(events)).rejected == []


async def test_a_sample_is_of_the_beginning_and_of_the_end(topics, bootstrap, tmp_path):
    """Of each partition; what is no JSON object is counted, and the key that a field equals is proposed."""
    events, _ = await topics(broken=[b"{broken", None])
    words = ("init", "--from-topic", events, "-P", "p", "--classes", "genuine,fraud", "--records", "60", "--json")
    code, report, errors = await faust_onnx(*words, broker=bootstrap, models_dir=tmp_path)

    assert (code, errors) == (0, "")
    contract = Contract.load(tmp_path / "p" / "contract.toml")
    assert (report["rows"], report["positive"]) == (58, "fraud")
    assert report["checked"]["refused"] == {"null_value": 1, "not_json": 1}
    assert any(note.startswith("1 of 60 records sampled have no value") for note in report["notes"])
    assert any("account equals the key in all records sampled: --key account" in note for note in report["notes"])
    (amount,) = [feature for feature in contract.features if feature.path == ("payment", "amount")]
    assert amount.high > 96


async def test_what_is_wrong_with_a_topic_is_told(topics, bootstrap, tmp_path, unique, create_topics, produce):
    """A misspelt topic or field, one without records, one of another format, and no word on what is predicted."""
    events, labels = await topics(n_events=3)
    empty, avro = unique("empty"), unique("avro")
    await create_topics({empty: 1, avro: 1})
    await produce(avro, [b"\x00\x00\x00\x00\x07xyz"] * 3)

    async def init(topic, *arguments):
        code, _, said = await faust_onnx(
            "init", "--from-topic", topic, "-P", "p", *arguments, broker=bootstrap, models_dir=tmp_path
        )
        assert code == 2
        return said

    assert f"did you mean {events}?" in await init(f"{events}x")
    assert 'no column "payment.idd"' in await init(events, "--id", "payment.idd")
    assert "has no record that is a JSON object: it has no records" in await init(empty)
    assert "3 seem to be Avro or Protobuf of a schema registry" in await init(avro)
    assert "what is to be predicted?" in await init(events)
    assert 'its records have no field "label"' in await init(events, "--labels-topic", events)
    assert labels in await init(events, "--labels-topic", f"{labels}x")
    assert not list(tmp_path.iterdir())
