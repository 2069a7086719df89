"""Figures in docs/performance.md are those of the recorded results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"


def result(name):
    """A recorded result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["throughput", "latency", "memory", "recovery", "bounds"])
def test_recorded_results_are_full_ones(name):
    """What is quoted was measured whole, and the page says on which commit."""
    recorded = result(name)

    assert recorded["full"]
    assert recorded["commit"][:7] in PAGE


def throughputs():
    """Workload and system of each recorded row."""
    workloads = result("throughput")["workloads"]
    return [(letter, name) for letter, work in workloads.items() for name, row in work.items() if isinstance(row, dict)]


@pytest.mark.parametrize(("letter", "system"), throughputs())
def test_the_throughput_tables_say_what_was_measured(letter, system):
    """Every system that was measured or is missing stands there, in the columns that the benchmark prints."""
    row = result("throughput")["workloads"][letter][system]
    if "missing" in row:
        assert f"`{system}` is missing" in PAGE
        return
    cells = [f"{row['ours_to_this']:.2f}"]
    if "events_per_cpu_s" in row:
        cells += [f"{row['events_per_cpu_s']:,.0f}", f"{row['events_per_s_min']:,.0f} - {row['events_per_s_max']:,.0f}"]
    else:
        cells += [f"{row['cpu_us_per_event']:.1f}"]
    start = f"| `{system}` | {row['events_per_s']:,.0f} | "
    shown = [set(line.strip("| ").split(" | ")) for line in PAGE.splitlines() if line.startswith(start)]

    assert any(set(cells) <= line for line in shown), (start, cells)


def latencies():
    """Rate and system of each recorded row."""
    recorded = result("latency")
    rates = recorded.get("rates", {"1000": recorded["latency"]})
    return [(rate, system, row) for rate, at in rates.items() for system, row in at.items() if isinstance(row, dict)]


@pytest.mark.parametrize(("rate", "system", "row"), latencies())
def test_the_latency_tables_say_what_was_measured(rate, system, row):
    """Percentiles in milliseconds at each rate, or that the system could not carry it."""
    cells = ["saturated"] if "saturated" in row else [f"{row[key]:.1f}" for key in ("p50_ms", "p99_ms", "p99.9_ms")]

    assert f"| `{system}` | {' | '.join(cells)} |" in PAGE, rate


@pytest.mark.parametrize("n_bytes", [100, 1000])
def test_the_recovery_table_says_what_was_measured(n_bytes):
    """Rows per second by the size of a row."""
    row = next(row for row in result("recovery")["tables"] if row["row_bytes"] == n_bytes)

    assert f"| {row['rows']:,} rows of {n_bytes:,} bytes | {row['rows_per_s']:,} |" in PAGE


@pytest.mark.parametrize("start", ["with_state", "after_kill", "without_state"])
def test_the_page_says_how_soon_a_worker_is_back(start):
    """Seconds until the group lets it in, until it is ready, and between the two."""
    row = result("recovery")["worker"][start]

    assert f"| {row['assigned_s']:.2f} s | {row['ready_s']:.2f} s | {row['after_join_s']:.2f} s |" in PAGE


@pytest.mark.parametrize("phase", ["steady", "overload", "drain", "away", "back"])
def test_the_page_says_what_a_worker_takes_at_its_worst(phase):
    """Events sent and predicted, the most memory and the most disk of each phase."""
    row = result("bounds")["phases"][phase]
    megabytes = [f"{row[key] / 1e6:.0f} MB" for key in ("resident_bytes_max", "state_bytes_max")]

    assert f"| {row['sent']:,} | {row['predicted']:,} | {megabytes[0]} | {megabytes[1]} |" in PAGE
