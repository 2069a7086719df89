"""What the demo shows, as text: readable at 80 columns, and never jumping."""

import io

from rich.console import Console

from app.demo.view import VersionView, View, plain, render

BUSY = View(
    title="phishing web sites",
    elapsed_s=83.0,
    seconds=120.0,
    events_in=1_234_567,
    events_per_s=60_123.4,
    predictions=1_234_000,
    predictions_per_s=59_000.0,
    rate_history=tuple(float(n % 7) for n in range(60)),
    latency_p50_s=0.0042,
    latency_p99_s=0.25,
    labels_sent=1_200_000,
    labels_joined=1_199_000,
    dead_letters={"not_json": 12, "missing_feature": 11, "out_of_range": 10, "null_value": 9},
    lag=567,
    versions=(
        VersionView(1, "retired", predictions=600_000, joined=599_000, accuracy_total=0.755),
        VersionView(2, "live", predictions=634_000, joined=600_000, accuracy_now=0.92, accuracy_total=0.917),
    ),
    pass_number=12,
    n_cases=776,
    next_step="intake stops in 0:37",
    happenings=tuple((float(second), f"happening {second}") for second in range(9)),
)


def drawn(view: View) -> list[str]:
    """The lines that a terminal of 80 columns gets."""
    console = Console(width=80, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(render(view))
    return console.file.getvalue().splitlines()


def test_the_view_fits_into_80_columns():
    """No line is wider than the narrowest usual terminal, even with large numbers."""
    assert max(len(line) for line in drawn(BUSY)) <= 80


def test_the_view_shows_all_that_was_promised():
    """Events, rates, latencies, versions, labels, accuracies, dead letters, lag, pass and what comes next."""
    text = "\n".join(drawn(BUSY))

    for shown in (
        "1,234,567", "59,000/s", "4.2 ms", "250 ms", "v2", "● live", "92.0 %", "75.5 %", "1,199,000",
        "not_json\N{NO-BREAK SPACE}12", "567", "pass 12 of 776", "intake stops in 0:37", "1:23 / 2:00", "happening 8",
    ):  # fmt: skip
        assert shown in text


def test_the_view_does_not_grow_when_things_happen():
    """An empty log takes the room that a full one does, so the picture stays where it is."""
    calm = View(title="phishing web sites", versions=BUSY.versions)

    assert len(drawn(calm)) == len(drawn(BUSY)) - 1  # the dead letters' reasons take a second line


def test_an_empty_view_shows_no_number_that_is_not_known():
    """Before the first prediction there is a dash where a latency will be."""
    (line,) = (line for line in drawn(View(title="phishing web sites")) if "latency p50" in line)

    assert line.split()[3:5] == ["-", "from"]


def test_the_plain_line_tells_the_same_story():
    """Without a terminal one line says how the run stands."""
    line = plain(BUSY)

    assert "\n" not in line
    for told in ("events 1,234,567", "59,000/s", "p99 250 ms", "v1 75.5 %", "v2 91.7 %", "lag 567", "pass 12"):
        assert told in line
