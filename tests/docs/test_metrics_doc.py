"""docs/metrics.md says of every metric what the registry says."""

from __future__ import annotations

from pathlib import Path

from app.metrics import Metrics

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def declared():
    """Name, type, labels and help of each metric of ours, in the order in which they are declared."""
    registry = Metrics().registry
    for collector in registry._collector_to_names:
        describe = getattr(collector, "describe", None)  # those of the process have none
        for family in describe() if describe else ():
            if family.name.startswith("faust_onnx_"):
                labels = getattr(collector, "labelnames", None) or getattr(collector, "_labelnames", ())
                yield family, labels


def expected_rows():
    """One row of the table for each metric."""
    for family, labels in declared():
        name = family.name + ("_total" if family.type == "counter" else "")
        shown = ", ".join(f"`{label}`" for label in labels) or "none"
        yield f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


def test_the_table_of_metrics_is_that_of_the_registry():
    """Each metric stands in the table with its type, labels and meaning, and nothing else does."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    assert rows == list(expected_rows())


def test_names_follow_the_conventions_of_prometheus():
    """Base units, `_total` on counters only, one prefix."""
    for family, labels in declared():
        assert not family.name.endswith(("_ms", "_milliseconds", "_total", "_kb"))
        assert family.documentation.endswith(".")
        assert "id" not in labels
