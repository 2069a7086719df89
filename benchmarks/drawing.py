"""Draws recorded results as SVG; run by benchmarks/plots.py with an interpreter that has matplotlib.

    python drawing.py RESULTS OUT SUFFIX

reads RESULTS/<name><SUFFIX>.json and writes OUT/<name>.svg. Beside matplotlib it needs nothing, the project included.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]  # of the peers' environment
import matplotlib.pyplot as plt  # type: ignore[import-not-found]
from matplotlib.ticker import EngFormatter  # type: ignore[import-not-found]

OURS = "ours"
ACCENT, REST, INK = "#0b6e4f", "#9aa5b1", "#1f2933"
PERCENTILES = {"p50_ms": "o", "p99_ms": "D", "p99.9_ms": "|"}
STYLE = {
    "svg.hashsalt": "faust-onnx",  # names inside the file are the same each time
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": REST,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
}


def caption(result: dict[str, Any]) -> str:
    """On what and of what it was measured."""
    machine, versions = result["machine"], result["versions"]
    short = "" if result["full"] else "A short run, not for quoting. "
    return (
        f"{short}{machine['cores']} cores ({machine['cpu']}), {machine['memory_bytes'] / 1e9:.0f} GB; "
        "Kafka and all programs on the same machine.\n"
        f"Python {versions['python']}, Kafka {versions['kafka']}; "
        f"commit {result['commit'][:7]}{' and changes' if result['dirty'] else ''}."
    )


def colour(system: str) -> str:
    """Ours stands out."""
    return ACCENT if system.startswith(OURS) else REST


def rows(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The systems among what is recorded of a workload or a rate."""
    return {name: row for name, row in table.items() if isinstance(row, dict)}


def throughput(result: dict[str, Any]) -> Any:
    """Bars of events per second, a panel for each workload; the thin line goes from the slowest run to the fastest."""
    workloads = result["workloads"]
    figure, panels = plt.subplots(len(workloads), 1, figsize=(8, 0.7 + 2.7 * len(workloads)), squeeze=False)
    for (letter, workload), panel in zip(workloads.items(), panels[:, 0], strict=True):
        systems = rows(workload)
        ordered = sorted(systems, key=lambda name: systems[name].get("events_per_s", 0.0))
        medians = [systems[name].get("events_per_s", 0.0) for name in ordered]
        panel.barh(ordered, medians, color=[colour(name) for name in ordered], height=0.7)
        longest = 1.0
        for position, (name, median) in enumerate(zip(ordered, medians, strict=True)):
            runs = [run["events_per_s"] for run in systems[name].get("runs", ())]
            if runs:
                panel.plot([min(runs), max(runs)], [position, position], color=INK, linewidth=1)
            text = "missing" if "missing" in systems[name] else f"{median:,.0f}"
            end = max([median, *runs])
            panel.text(end, position, f"  {text}", va="center")
            longest = max(longest, end)
        about = workload.get("about") or workload.get("what", "")
        panel.set_title(f"({letter}) {about}")
        panel.set_xlim(0, 1.15 * longest)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.grid(visible=False, axis="y")
    panels[-1, 0].set_xlabel("events per second, one process, median of the rounds; line: slowest to fastest round")
    return figure


def latency(result: dict[str, Any]) -> Any:
    """Percentiles of each system, a panel for each rate."""
    rates = result.get("rates") or {"1000": result["latency"]}
    systems = list(dict.fromkeys(name for at in rates.values() for name in rows(at)))[::-1]
    height = 0.9 + (0.6 + 0.28 * len(systems)) * len(rates)
    figure, panels = plt.subplots(len(rates), 1, figsize=(8, height), sharex=True, squeeze=False)
    for (name, at), panel in zip(rates.items(), panels[:, 0], strict=True):
        for position, system in enumerate(systems):
            row = at.get(system, {})
            if "p50_ms" not in row:
                words = "saturated" if "saturated" in row else "not measured"
                panel.text(0.01, position, words, transform=panel.get_yaxis_transform(), va="center", style="italic")
                continue
            values = [row[key] for key in PERCENTILES]
            panel.plot(values, [position] * len(values), color=colour(system), linewidth=1.5, zorder=1)
            for value, (key, marker) in zip(values, PERCENTILES.items(), strict=True):
                panel.scatter(value, position, marker=marker, color=colour(system), s=36, zorder=2, label=key)
        panel.set_yticks(range(len(systems)), systems)
        panel.set_ylim(-0.6, len(systems) - 0.4)
        panel.set_xscale("log")
        rate = f"{at['rate_per_s']:,.0f} events/s"
        panel.set_title(rate if name.isdigit() else f"{rate} ({name})")
    panels[-1, 0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panels[-1, 0].set_xlabel("ms from due to readable: p50 (dot), p99 (diamond), p99.9 (line); logarithmic")
    return figure


def scale(result: dict[str, Any]) -> Any:
    """Processor time per event and events per second against each size."""
    workers = result["workers"]
    columns = [
        (
            f"workers on {workers['partitions']} partitions",
            list(map(int, workers["by_number"])),
            list(workers["by_number"].values()),
        )
    ]
    for curve in result["curves"].values():
        points = curve["points"]
        what = "bytes in a record" if curve["size"] == "record_bytes" else curve["what"]
        columns.append((what, [point[curve["size"]] for point in points], points))
    figures = {"cpu_us_per_event": "processor µs per event", "events_per_s": "events per second"}
    figure, panels = plt.subplots(2, len(columns), figsize=(3.0 * len(columns), 5.4), squeeze=False)
    for column, (what, sizes, points) in enumerate(columns):
        for panel, (key, unit) in zip(panels[:, column], figures.items(), strict=True):
            values = [point[key] for point in points]
            panel.plot(sizes, values, color=ACCENT, marker="o", markersize=4)
            spread = [[run[key] for run in point["runs"]] for point in points]
            panel.vlines(sizes, list(map(min, spread)), list(map(max, spread)), color=INK, linewidth=1)
            panel.set_xscale("log")
            panel.set_xticks(sizes, [EngFormatter(sep="", places=0)(size) for size in sizes])
            panel.minorticks_off()
            panel.set_ylim(0, 1.1 * max(map(max, spread)))
            panel.yaxis.set_major_formatter(EngFormatter(sep=""))
            if column == 0:
                panel.set_ylabel(unit)
        panels[0, column].set_title(what)
        panels[1, column].set_xlabel("logarithmic")
    return figure


def memory(result: dict[str, Any]) -> Any:
    """Memory over the number of events."""
    figure, panel = plt.subplots(figsize=(8, 3.2))
    samples = result["samples"]
    events = [sample["predictions"] for sample in samples]
    panel.plot(events, [sample["resident_bytes"] / 1e6 for sample in samples], color=ACCENT, linewidth=1.2)
    judged_from = events[-1] - result["events"]
    panel.axvspan(judged_from, events[-1], color=ACCENT, alpha=0.08, linewidth=0)
    panel.text(judged_from, 0, " judged from here on", va="bottom")
    panel.set_ylim(0)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.set_xlabel("events predicted")
    panel.set_ylabel("resident memory, MB")
    return figure


def feedback(result: dict[str, Any]) -> Any:
    """What was sent and what was done of it, for each step."""
    figure, panel = plt.subplots(figsize=(8, 3.6))
    steps = result["steps"]
    sent = [step["rate_per_s"] for step in steps]
    panel.plot([0, *sent], [0, *sent], color=REST, linestyle="--", linewidth=1, label="sent")
    panel.plot(sent, [step["predicted_per_s"] for step in steps], color=INK, marker="s", label="events predicted")
    panel.plot(
        sent, [step["outcomes_per_s"] for step in steps], color=ACCENT, marker="o", label="labels joined and counted"
    )
    panel.set_xlim(0)
    panel.set_ylim(0)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.set_xlabel("events, and as many labels, sent per second")
    panel.set_ylabel("done per second")
    panel.legend(frameon=False)
    return figure


TITLES = {
    throughput: "Throughput of one process",
    latency: "Latency, open loop",
    scale: "What an event costs a worker",
    memory: "Memory of one worker",
    feedback: "Labels joined while events are scored",
}


def main(results: Path, out: Path, suffix: str) -> None:
    """Draw every result that is there."""
    mpl.rcParams.update(STYLE)
    out.mkdir(parents=True, exist_ok=True)
    for draw, title in TITLES.items():
        path = results / f"{draw.__name__}{suffix}.json"
        if not path.exists():
            print(f"left out: no {path.name}")
            continue
        result = json.loads(path.read_text())
        figure = draw(result)
        height = figure.get_size_inches()[1]
        figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=12, fontweight="bold")
        figure.text(0.01, 0.08 / height, caption(result), fontsize=7, va="bottom")
        figure.tight_layout(rect=(0, 0.4 / height, 1, 1 - 0.35 / height))
        figure.savefig(out / f"{draw.__name__}.svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
        print(f"{out / draw.__name__}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
