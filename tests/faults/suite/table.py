"""The table of results: per case and mode the seeds, records, copies, violations, and times of recovery.

`python -m tests.faults.suite.table` writes it between the markers of docs/guarantees.md, from a file of results, and
keeps what it says in tests/faults/results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.embedded.lock import read_lock
from tests.faults.suite.registry import CASES
from tests.faults.suite.store import Result, Store
from tests.workers import ROOT

BEGIN, END = "<!-- fault suite: begin -->", "<!-- fault suite: end -->"
RECORDED = ROOT / "tests" / "faults" / "results.json"
RESULTS = ROOT / "build" / "faults" / "results.jsonl"
PAGE = ROOT / "docs" / "guarantees.md"
VERSIONS = ("faust-streaming", "aiokafka", "onnxruntime", "rocksdict")


def rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """One row per case and mode, in the order of the cases, and a sum per mode."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.mode, result.case].append(result)
    found = []
    for mode in sorted({mode for mode, _ in groups}):
        of_mode = [(name, groups[mode, name]) for name in CASES if (mode, name) in groups]
        found += [_row(mode, name, CASES[name].number, each) for name, each in of_mode]
        found.append(_row(mode, "all", None, [result for _, each in of_mode for result in each]))
    return found


def mixture(results: Iterable[Result]) -> str:
    """What different code *results* stand for; empty if each case was always the same, and so was all else."""
    commits: set[str] = set()
    of_case: dict[str, set[str]] = defaultdict(set)
    for result in results:
        commits.add(result.commit)
        of_case[result.case].add(result.case_key)
    if len(commits) > 1:
        return f"of {', '.join(sorted(commits))}"
    changed = sorted(name for name, keys in of_case.items() if len(keys) > 1)
    return f"{', '.join(changed)} changed in between" if changed else ""


def _row(mode: str, name: str, number: int | None, results: list[Result]) -> dict[str, Any]:
    times = [result.recovery_s for result in results if result.recovery_s is not None]
    return {
        "mode": mode,
        "case": name,
        "number": number,
        "runs": len(results),
        "records": sum(result.records for result in results),
        "labels": sum(result.labels for result in results),
        "copies": sum(result.copies for result in results),
        "violations": sum(len(result.violations) for result in results),
        "red": sum(bool(result.violations) for result in results),
        "recovery_median_s": round(statistics.median(times), 1) if times else None,
        "recovery_max_s": round(max(times), 1) if times else None,
        "rss_max_mb": max((result.rss_mb for result in results), default=0),
    }


def as_text(table: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    lines = [
        "| mode | case | seeds | records | copies | violations | recovery median | recovery max |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table:
        name = f"{row['number']} `{row['case']}`" if row["number"] else "**all**"
        times = [
            f"{row[key]:.1f} s" if row[key] is not None else "-" for key in ("recovery_median_s", "recovery_max_s")
        ]
        lines.append(
            f"| {row['mode']} | {name} | {row['runs']} | {row['records']:,} | {row['copies']:,} | "
            f"{row['violations']} | {' | '.join(times)} |"
        )
    return "\n".join(lines)


def recorded(results: list[Result]) -> dict[str, Any]:
    """What is kept with the project: the rows, and what they were measured with."""
    return {
        "commits": sorted({result.commit for result in results}),
        "machine": f"{platform.machine()}, {_cores()} cores, {platform.system()}",
        "versions": {
            "python": platform.python_version(),
            "kafka": _kafka_version(),
            **{name: version(name) for name in VERSIONS},
        },
        "rows": rows(results),
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _kafka_version() -> str:
    names = [jar.file for jar in read_lock().jars if jar.file.startswith("kafka_")]
    return names[0].rpartition("-")[2].removesuffix(".jar") if names else "unknown"


def page_with(text: str, kept: dict[str, Any]) -> str:
    """*text* with the table of *kept* between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"there is no {BEGIN} ... {END} in the page")
    versions = ", ".join(f"{name} {number}" for name, number in kept["versions"].items())
    about = f"Commit {', '.join(f'`{each}`' for each in kept['commits'])}; {kept['machine']}; {versions}."
    return f"{before}{BEGIN}\n{about}\n\n{as_text(kept['rows'])}\n{END}{after}"


def main() -> int:
    """Write the table."""
    command = argparse.ArgumentParser("python -m tests.faults.suite.table", description=__doc__)
    command.add_argument("--results", type=Path, default=RESULTS)
    command.add_argument("--commit", action="append", help="only results that stand for this; may be repeated")
    command.add_argument("--mixed", action="store_true", help="add up results although they stand for different code")
    command.add_argument("--page", type=Path, default=PAGE)
    command.add_argument("--show", action="store_true", help="print it, change no file")
    flags = command.parse_args()
    results = [each for each in Store(flags.results).read() if not flags.commit or each.commit in flags.commit]
    results = [each for each in results if each.scale == 1.0]
    if not flags.mixed and (mixed := mixture(results)):
        raise SystemExit(f"these results do not belong together: {mixed}. Choose with --commit, or say --mixed")
    kept = recorded(results)
    if flags.show:
        print(as_text(kept["rows"]))
        return 0
    RECORDED.write_text(json.dumps(kept, indent=1) + "\n")
    flags.page.write_text(page_with(flags.page.read_text(), kept))
    return 0


if __name__ == "__main__":
    from tests.faults.suite import cases  # noqa: F401  they put themselves on the list

    sys.exit(main())
