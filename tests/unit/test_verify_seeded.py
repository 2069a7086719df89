"""The checker passes a clean pipeline and finds each kind of violation that is seeded into it."""

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "verify_hand_made.py"
_SPEC = importlib.util.spec_from_file_location("verify_hand_made", _PATH)
hand_made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(hand_made)

Rules = hand_made.Rules


def found(report):
    """All violations as (check, kind), with their counts."""
    return {(check.name, kind): n for check in report.checks.values() for kind, n in check.counts.items()}


def test_a_clean_pipeline_passes():
    """Nothing is found in a consistent pipeline, and every check has judged something."""
    report = hand_made.HandMade().judge()

    assert report.as_text().endswith("all invariants hold")
    assert {name: check.checked for name, check in report.checks.items()} == {
        "partitions": 4,
        "models": 2,
        "panes": 10,
        "predictions": 28,
        "dead_letters": 3,
        "outcomes": 30,
        "versions": 28,
        "scores": 28,
        "sums": 30,
        "labels": 22,
        "ledger": 21,
        "totals": 3,
    }


@pytest.mark.parametrize("seed", hand_made.SEEDS, ids=lambda seed: seed.__name__)
def test_a_seeded_violation_is_found(seed):
    """Each kind of violation is told under its check, and the report fails."""
    made = hand_made.HandMade()
    seed(made)

    report = made.judge()

    assert hand_made.SEEDS[seed] in found(report)
    assert not report.ok
