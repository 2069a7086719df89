"""Writes the tables of docs/performance.md from the recorded results, so that no figure there is copied by hand.

    python -m benchmarks.page    between the markers `<!-- NAME: begin -->` and `<!-- NAME: end -->` of the page

NAME is that of a result (`throughput`, `latency`); what stands between other markers is left alone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"


def throughput(result: dict[str, Any]) -> str:
    """A table for each workload, the fastest system first."""
    parts = [f"Commit `{result['commit'][:7]}`."]
    for letter, work in result["workloads"].items():
        systems = {name: row for name, row in work.items() if isinstance(row, dict)}
        lines = [
            f"**({letter})** {work['about']}; {work['records']:,} records, {work['rounds']} rounds",
            "",
            "| system | events/s | min - max | events per CPU-second | ours is times this |",
            "| --- | --- | --- | --- | --- |",
        ]
        measured = {name: row for name, row in systems.items() if "missing" not in row}
        for name, row in sorted(measured.items(), key=lambda item: -item[1]["events_per_s"]):
            lines.append(
                f"| `{name}` | {row['events_per_s']:,.0f} | {row['events_per_s_min']:,.0f} - "
                f"{row['events_per_s_max']:,.0f} | {row['events_per_cpu_s']:,.0f} | {row['ours_to_this']:.2f} |"
            )
        lines += [f"\n`{name}` is missing: {row['missing']}" for name, row in systems.items() if "missing" in row]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def latency(result: dict[str, Any]) -> str:
    """A table for each rate."""
    parts = [f"Commit `{result['commit'][:7]}`."]
    for at in result["rates"].values():
        lines = [
            f"**{at['rate_per_s']:,.0f} events/s**, {at['seconds']:g} s",
            "",
            "| system | p50 | p99 | p99.9 |",
            "| --- | --- | --- | --- |",
        ]
        for name, row in at.items():
            if isinstance(row, dict):
                cells = ["saturated"] if "saturated" in row else [f"{row[key]:.1f}" for key in _PERCENTILES]
                lines.append(f"| `{name}` | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


_PERCENTILES = ("p50_ms", "p99_ms", "p99.9_ms")
TABLES = {"throughput": throughput, "latency": latency}


def with_table(page: str, name: str, table: str) -> str:
    r"""*page* with *table* between the markers of *name*, if it has them.

    >>> with_table("a <!-- x: begin -->old<!-- x: end --> b", "x", "new")
    'a <!-- x: begin -->\nnew\n<!-- x: end --> b'
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", page, flags=re.DOTALL)


def main() -> None:
    """Write the page."""
    page = PAGE.read_text()
    for name, table in TABLES.items():
        page = with_table(page, name, table(json.loads((RESULTS / f"{name}.json").read_text())))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
