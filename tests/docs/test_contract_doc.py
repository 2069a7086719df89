"""docs/contract.md is true: its example loads, its record is good, and no key is left out."""

import re
from pathlib import Path

import pytest

from app.errors import Reason
from app.features import BatchDecoder, Contract
from app.features.contract_file import EXAMPLES, TOPIC_EXAMPLES
from app.features.feature_table import EXAMPLES as FEATURE_EXAMPLES
from tests.makers import Given

DOC = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")


@pytest.fixture
def contract(tmp_path):
    """The complete example."""
    path = tmp_path / "contract.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", DOC, re.DOTALL)[1], encoding="utf-8")
    return Contract.load(path)


def test_the_example_uses_every_key_and_dtype(contract):
    """It is complete, as its heading says."""
    example = re.search(r"```toml\n(.*?)```", DOC, re.DOTALL)[1]
    for key in {**EXAMPLES, **FEATURE_EXAMPLES, **TOPIC_EXAMPLES}:
        assert re.search(rf"^(\[+)?{key}\b", example, re.MULTILINE), key
    assert {feature.dtype for feature in contract.features} == {"float", "int", "bool", "string", "vector"}


def test_the_record_beside_it_is_good(contract):
    """The JSON of the page is decoded by the contract of the page."""
    value = re.search(r"```json\n(.*?)```", DOC, re.DOTALL)[1].encode()
    decoded = BatchDecoder(contract).decode([Given(value, key=b"a-7")])

    assert (decoded.rejected, decoded.ids, decoded.event_at_s) == ([], ["t-81"], [1772366400.0])


def test_every_key_and_every_reason_of_a_feature_record_is_described():
    """Tables have a row for each key, and each reason is named."""
    for key in {**EXAMPLES, **FEATURE_EXAMPLES}:
        assert f"`{key}`" in DOC or f"`{key}." in DOC, key
    for reason in Reason:
        assert f"`{reason}`" in DOC, reason
