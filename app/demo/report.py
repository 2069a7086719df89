"""The summary that stands when a run is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from app.demo.view import WIDTH, clock, milliseconds, percent

if TYPE_CHECKING:
    from app.demo.processes import Verdict
    from app.demo.recount import Recount


def summary(counted: Recount, *, kafka: str, seconds: float, verdict: Verdict | None) -> Panel:
    """*counted* as a panel of 80 columns; *seconds* is how long records were sent, *verdict* None if nobody judged."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(width=14, style="dim")
    rows.add_column(width=58)
    dead = sum(counted.dead_letters.values())
    outcomes = f"{counted.predictions:,} predictions + {dead:,} dead letters"
    missing = counted.events_in - counted.predictions - dead
    told = "each has its outcome" if missing == 0 else f"{missing:,} HAVE NO OUTCOME"
    rows.add_row("events in", f"{counted.events_in:,} = {outcomes}" if missing == 0 else f"{counted.events_in:,}")
    rows.add_row("", Text(told, "green" if missing == 0 else "bold red"))
    if counted.copies:
        rows.add_row("copies", f"{counted.copies:,} predictions stand twice, after a redelivery")
    rows.add_row("labels", f"{counted.labels:,}, of which {counted.joined:,} joined their prediction")
    for number, version in sorted(counted.versions.items()):
        right = f"{percent(version.accuracy)} of {version.joined:,} right" if version.joined else "no label joined"
        told = f"{right}; {version.predictions:,} predictions"
        rows.add_row(f"accuracy v{number}", told)
    if counted.swap_seconds is not None:
        told = f"version {max(counted.versions)} answered {milliseconds(counted.swap_seconds)} after the agreed instant"
        rows.add_row("swap", told)
    rows.add_row("rate", f"{counted.predictions_per_s:,.0f} predictions/s from the first to the last")
    rows.add_row("latency", f"p50 {milliseconds(counted.latency_s(50))}, p99 {milliseconds(counted.latency_s(99))}")
    rows.add_row(
        "dead letters", "  ".join(f"{reason}\N{NO-BREAK SPACE}{n}" for reason, n in counted.dead_letters.items())
    )
    rows.add_row("Kafka", f"{kafka}; records were sent for {clock(seconds)}")
    rows.add_row("verified", _verdict(verdict))
    title = "summary, counted from the topics from offset 0"
    return Panel(rows, title=title, title_align="left", box=box.ROUNDED, width=WIDTH, border_style="cyan")


def _verdict(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("not asked for: --verify has every record judged", "dim")
    if verdict.holds:
        return Text("every prediction re-scored, every label and pane recounted: all holds", "green")
    told = "could not be judged" if verdict.holds is None else "NO"
    return Text(f"{told}: the verifier's report stands above", "bold red")
