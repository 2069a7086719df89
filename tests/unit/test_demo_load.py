"""The high-rate source: its records are those of the real cases, put together fast."""

import msgspec
import numpy as np
from aiokafka.partitioner import DefaultPartitioner

from app.demo.load import BROKEN_EVERY, Templates, keys_for
from app.demo.phishing import load_cases
from app.features import BatchDecoder, Contract
from models.fraud import definition
from tests.makers import Given

CASES = load_cases().streamed
CONTRACT = Contract.load(definition.RELEASES.with_name("contract.toml"))


def decoded(*values):
    """*values* decoded by the demo's contract."""
    return BatchDecoder(CONTRACT).decode([Given(value, offset=i, key=b"k") for i, value in enumerate(values)])


def test_a_templated_record_is_the_case_itself():
    """Each case comes out of the template as the contract would read it from any JSON encoder."""
    templates = Templates(CASES)

    events = decoded(*(templates.feature(number, 1_000.5) for number in range(len(CASES))))

    assert not events.rejected
    np.testing.assert_array_equal(events.matrix(), definition.matrix(CASES))
    assert set(events.event_at_s) == {1_000.5}


def test_ids_go_on_from_pass_to_pass():
    """Event numbers never repeat an id."""
    templates = Templates(CASES[:10])

    events = decoded(*(templates.feature(number, 1.0) for number in range(35)))

    assert len(set(events.ids)) == 35
    assert events.ids[30] == f"{CASES[0].id}~4"
    assert templates.pass_of(30) == 4


def test_a_label_has_the_id_of_its_event_and_the_truth_of_its_case():
    """The label of event number n is that of the case that event n was made from."""
    templates = Templates(CASES)

    for number in (0, 5, len(CASES) + 5):
        label = msgspec.json.decode(templates.label(number, 3.5))
        assert label == {
            "id": decoded(templates.feature(number, 1.0)).ids[0],
            "label": CASES[number % len(CASES)].label,
            "at": 3.5,
        }


def test_a_broken_record_is_rejected():
    """The records that are meant to fail do."""
    templates = Templates(CASES)

    assert len(decoded(*(templates.broken(n * BROKEN_EVERY, 1.0) for n in range(8))).rejected) == 8


def test_keys_go_where_the_default_partitioner_sends_them():
    """A program that lets its client choose the partition by key agrees with the explicit ones."""
    partitions = list(range(4))

    assert [DefaultPartitioner()(key, partitions, partitions) for key in keys_for(4)] == partitions
