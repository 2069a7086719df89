"""What the demo shows: one frozen picture of the run, drawn for a terminal of 80 columns or told in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH = 80
_BLOCKS = "▁▂▃▄▅▆▇█"
_BAR_CELLS = 16


@dataclass(frozen=True)
class VersionView:
    """One version of the model as the worker reports it; accuracies are shares, None while there is no label yet."""

    version: int
    state: str
    """`live`, `coming` or `retired`."""
    predictions: int = 0
    joined: int = 0
    accuracy_now: float | None = None
    accuracy_total: float | None = None


@dataclass(frozen=True)
class View:
    """The state of the run at one instant; counts since its start, rates and latencies over the last ten seconds."""

    title: str
    elapsed_s: float = 0.0
    seconds: float | None = None
    """How long the intake lasts; None = until Ctrl-C."""
    events_in: int = 0
    events_per_s: float = 0.0
    predictions: int = 0
    predictions_per_s: float = 0.0
    rate_history: tuple[float, ...] = ()
    """Predictions per second, one value a second, oldest first."""
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    labels_sent: int = 0
    labels_joined: int = 0
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    lag: int | None = None
    window_s: int = 10
    versions: tuple[VersionView, ...] = ()
    pass_number: int = 1
    n_cases: int = 0
    next_step: str = ""
    ctrl_c: str = "Ctrl-C ends it"
    happenings: tuple[tuple[float, str], ...] = ()
    """What happened, newest last: seconds since the start, and a sentence."""


def render(view: View) -> Group:
    """The live view, 80 columns wide."""
    return Group(_head(view), _stream(view), _models(view), _happenings(view), _foot(view))


def plain(view: View) -> str:
    """The view in one line, for logs and pipes.

    >>> plain(View(title="fraud", elapsed_s=61, events_in=1200, predictions=1190, predictions_per_s=99.6))
    '1:01 events 1,200 predictions 1,190 (100/s) dead letters 0 p50 - p99 - lag - pass 1'
    """
    parts = [
        clock(view.elapsed_s),
        f"events {view.events_in:,}",
        f"predictions {view.predictions:,} ({view.predictions_per_s:,.0f}/s)",
        f"dead letters {sum(view.dead_letters.values()):,}",
        f"p50 {milliseconds(view.latency_p50_s)}",
        f"p99 {milliseconds(view.latency_p99_s)}",
        f"lag {_count(view.lag)}",
        *(f"v{row.version} {percent(row.accuracy_total)} of {row.joined:,}" for row in view.versions),
        f"pass {view.pass_number}",
    ]
    return " ".join([*parts, f"- {view.next_step}"] if view.next_step else parts)


def clock(elapsed_s: float) -> str:
    """Minutes and seconds.

    >>> clock(83.7)
    '1:23'
    """
    minutes, seconds = divmod(int(elapsed_s), 60)
    return f"{minutes}:{seconds:02}"


def milliseconds(seconds: float | None) -> str:
    """A latency for people.

    >>> milliseconds(0.0042), milliseconds(0.25), milliseconds(12.0), milliseconds(None)
    ('4.2 ms', '250 ms', '12.0 s', '-')
    """
    if seconds is None:
        return "-"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004 - a readable digit


def percent(share: float | None) -> str:
    """A share in percent.

    >>> percent(0.9175), percent(None)
    ('91.8 %', '-')
    """
    return "-" if share is None else f"{share * 100:.1f} %"


def sparkline(values: Sequence[float], *, cells: int = 24) -> str:
    """The last *cells* values as blocks, scaled to the greatest of them.

    >>> sparkline([0.0, 50.0, 100.0])
    '▁▅█'
    """
    shown = values[-cells:]
    top = max(shown, default=0.0) or 1.0
    return "".join(_BLOCKS[min(int(value / top * len(_BLOCKS)), len(_BLOCKS) - 1)] for value in shown)


def _head(view: View) -> Table:
    line = Table.grid(expand=False)
    line.add_column(width=WIDTH - 14)
    line.add_column(width=14, justify="right")
    time = clock(view.elapsed_s) + (f" / {clock(view.seconds)}" if view.seconds is not None else "")
    line.add_row(Text.assemble((" faust-onnx ", "bold white on dark_cyan"), f"  {view.title}"), Text(time, "bold"))
    return line


def _stream(view: View) -> Panel:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=13, style="dim")
    grid.add_column(width=9, justify="right", style="bold")
    grid.add_column(width=8, justify="right")
    grid.add_column(width=43, no_wrap=True, overflow="ellipsis", style="dim")
    where = f"pass {view.pass_number} of {view.n_cases:,} real cases"
    again = Text(f"{where}, ids end in ~{view.pass_number}", "yellow") if view.pass_number > 1 else Text(where)
    grid.add_row("events in", f"{view.events_in:,}", f"{view.events_per_s:,.0f}/s", again)
    spark = Text(sparkline(view.rate_history), "cyan")
    grid.add_row("predictions", f"{view.predictions:,}", f"{view.predictions_per_s:,.0f}/s", spark)
    grid.add_row("consumer lag", _count(view.lag), "", "records that wait in Kafka")
    grid.add_row("latency p50", milliseconds(view.latency_p50_s), "", "from the record's timestamp to scored_at")
    grid.add_row("latency p99", milliseconds(view.latency_p99_s), "", "over the last 10 s")
    grid.add_row(
        "labels joined", f"{view.labels_joined:,}", "", f"of {view.labels_sent:,} sent, 1 to 5 s after their event"
    )
    return Panel(
        Group(grid, _dead_letters(view)),
        title="stream",
        title_align="left",
        box=box.ROUNDED,
        width=WIDTH,
        border_style="cyan",
    )


def _dead_letters(view: View) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=13, style="dim")
    grid.add_column(width=9, justify="right", style="bold")
    grid.add_column(width=52)
    told = Text()
    for reason, count in view.dead_letters.items():
        # The pair is one word for the line breaking: a count never stands alone on the next line.
        told.append(f"{reason}\N{NO-BREAK SPACE}", "red").append(f"{count}  ")
    grid.add_row("dead letters", f"{sum(view.dead_letters.values()):,}", told)
    return grid


def _models(view: View) -> Panel:
    table = Table(box=None, padding=(0, 1), header_style="dim", width=WIDTH - 4)
    table.add_column("model", width=5)
    table.add_column("", width=8)
    table.add_column("predictions", justify="right", width=11)
    table.add_column("joined", justify="right", width=8)
    table.add_column("accuracy", width=_BAR_CELLS)
    table.add_column(f"in {view.window_s} s", justify="right", width=7)
    table.add_column("in all", justify="right", width=7)
    for row in view.versions:
        style = {"live": "bold green", "coming": "yellow"}.get(row.state, "dim")
        table.add_row(
            Text(f"v{row.version}", style),
            Text({"live": "● live", "coming": "◌ coming"}.get(row.state, "○ before"), style),
            f"{row.predictions:,}",
            f"{row.joined:,}",
            _bar(row.accuracy_now if row.accuracy_now is not None else row.accuracy_total, style),
            percent(row.accuracy_now),
            percent(row.accuracy_total),
        )
    return Panel(table, title="models", title_align="left", box=box.ROUNDED, width=WIDTH, border_style="cyan")


def _bar(share: float | None, style: str) -> Text:
    filled = round((share or 0.0) * _BAR_CELLS)
    return Text.assemble(("━" * filled, style), ("━" * (_BAR_CELLS - filled), "grey30"))


def _happenings(view: View) -> Table:
    # Always four lines, so that the picture does not jump when something happens.
    lines = Table.grid(padding=(0, 1))
    lines.add_column(width=6, justify="right", style="dim")
    lines.add_column(width=WIDTH - 8, no_wrap=True, overflow="ellipsis")
    latest = list(view.happenings[-4:])
    for at_s, sentence in latest:
        lines.add_row(clock(at_s), sentence)
    for _ in range(4 - len(latest)):
        lines.add_row("", "")
    return lines


def _foot(view: View) -> Table:
    line = Table.grid()
    line.add_column(width=WIDTH - 18, no_wrap=True, overflow="ellipsis")
    line.add_column(width=18, justify="right", style="dim")
    line.add_row(Text(f" next: {view.next_step}" if view.next_step else "", "bold yellow"), view.ctrl_c)
    return line


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
