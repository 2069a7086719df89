"""The two released models of the demo: what they are worth on the streamed cases, and that they can be made anew."""

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest

from app.demo.phishing import FEATURES, load_cases
from app.features import BatchDecoder, Contract
from models.fraud import definition
from tests.makers import Given

FRAUD = Path(definition.__file__).parent
CASES = load_cases()


def probabilities(model: bytes, cases) -> np.ndarray:
    """P(phishing) of each case by a real ONNX session."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"features": definition.matrix(cases)})[0][:, 1]


def accuracy(model: bytes, cases) -> float:
    """Share of the cases that the model gets right at the contract's threshold."""
    said = probabilities(model, cases) >= 0.5
    return float(np.mean(said == [case.label == "phishing" for case in cases]))


def released(version: int) -> bytes:
    """The bytes of a released model."""
    return (FRAUD / "releases" / f"{version}.onnx").read_bytes()


def test_the_second_version_leads_by_five_points_on_the_streamed_set():
    """What the demo shows is no accident of a few events: v2 is plainly better on all that is streamed."""
    first, second = (accuracy(released(version), CASES.streamed) for version in (1, 2))

    assert second >= first + 0.05
    assert first > 0.7
    assert second > 0.9


@pytest.mark.parametrize("version", definition.VERSIONS)
def test_training_again_gives_the_same_model(version):
    """A released file is what its definition makes of the training part, on every case of either part."""
    again = definition.to_model(definition.train(version, CASES.training))

    for part in CASES:
        np.testing.assert_allclose(probabilities(again, part), probabilities(released(version), part), atol=1e-5)


@pytest.mark.parametrize("version", definition.VERSIONS)
def test_the_onnx_file_says_what_the_pipeline_says(version):
    """Conversion loses nothing: scikit-learn and ONNX agree on the training rows too, where splits are tightest."""
    pipeline = definition.train(version, CASES.training)

    for part in CASES:
        expected = pipeline.predict_proba(definition.matrix(part))[:, 1]
        np.testing.assert_allclose(probabilities(released(version), part), expected, atol=1e-5)


def test_the_contract_names_the_features_in_the_order_the_models_were_trained_on():
    """A case as JSON becomes, through the contract, the very row that training saw."""
    contract = Contract.load(FRAUD / "contract.toml")
    records = [
        Given(
            msgspec.json.encode({"id": case.id, "at": 1.0, **dict(zip(FEATURES, case.features, strict=True))}),
            offset=offset,
            key=b"k",
        )
        for offset, case in enumerate(CASES.streamed)
    ]

    decoded = BatchDecoder(contract).decode(records)

    assert tuple(feature.name for feature in contract.features) == FEATURES
    assert not decoded.rejected
    np.testing.assert_array_equal(decoded.matrix(), definition.matrix(CASES.streamed))
