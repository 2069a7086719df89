"""The summary and the picture that a run of the demo leaves behind."""

import io
from collections import Counter

import pytest
from rich.console import Console

from app.demo.processes import Verdict
from app.demo.recount import Recount, VersionCount
from app.demo.report import summary
from app.demo.screen import Screen, save_picture
from app.demo.view import VersionView, View


def recounted(**others) -> Recount:
    """A run of two versions in which all went well, but for what *others* say."""
    return Recount(
        **{
            "events_in": 1_010,
            "predictions": 1_000,
            "dead_letters": Counter(not_json=6, bad_id=4),
            "labels": 1_000,
            "versions": {
                1: VersionCount(600, 600, 450, first_scored_at_s=1_000.0, last_scored_at_s=1_006.0),
                2: VersionCount(400, 400, 370, first_scored_at_s=1_006.004, last_scored_at_s=1_010.0),
            },
            "effective_from_s": {1: 900.0, 2: 1_006.0},
            **others,
        }
    )


def told(counted: Recount, verdict: Verdict | None = None) -> str:
    """The summary as a terminal of 80 columns shows it."""
    console = Console(width=80, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(summary(counted, kafka="4.1.2", seconds=60.0, verdict=verdict))
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) == 80
    return text


def test_the_summary_tells_each_number_of_the_run():
    """Counts, accuracies, the swap, the rate and the verdict are all there."""
    text = told(recounted(), Verdict(holds=True, report=""))

    for expected in (
        "1,010 = 1,000 predictions + 10 dead letters", "each has its outcome", "75.0 % of 600 right",
        "92.5 % of 400 right", "version 2 answered 4.0 ms after", "100 predictions/s", "not_json", "4.1.2", "all holds",
    ):  # fmt: skip
        assert expected in text


def test_a_lost_event_stands_out():
    """A feature record without outcome is what the summary must never pass over."""
    assert "2 HAVE NO OUTCOME" in told(recounted(events_in=1_012))


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict(holds=False, report="x"), "NO: the verifier's report"),
        (Verdict(holds=None, report="x"), "could not be judged"),
        (None, "not asked for"),
    ],
)
def test_a_verdict_that_is_not_good_is_not_called_good(verdict, expected):
    """Violated, not judged and not asked are three things, and none of them is `all holds`."""
    text = told(recounted(), verdict)

    assert expected in text
    assert "all holds" not in text


def test_a_run_of_one_version_has_no_swap():
    """Stopped before the second version came, the summary gives no time for a swap."""
    alone = recounted(versions={1: VersionCount(1_000, 0, 0)}, effective_from_s={1: 900.0})

    assert alone.as_json(kafka="4.1.2")["swap_seconds"] is None
    assert "no label joined" in told(alone)


def test_a_picture_is_an_svg_that_asks_nobody_for_anything(tmp_path):
    """The README can show it anywhere: no font or script comes from elsewhere."""
    path = tmp_path / "view.svg"

    save_picture(View(title="phishing", versions=(VersionView(1, "live"),)), path)

    picture = path.read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "phishing" in picture
    assert "url(http" not in picture.replace('"', "")
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_terminal_each_happening_is_told_once_and_the_state_every_two_seconds():
    """A log is not flooded by a view that is drawn four times a second."""
    console = Console(file=io.StringIO(), force_terminal=False, width=80)
    with Screen(console) as screen:
        for look in range(17):
            screen.show(
                View(title="t", elapsed_s=look / 4, happenings=((0.0, "ready"), (1.0, "swapped"))[: 1 + look // 4])
            )

    lines = console.file.getvalue().splitlines()

    assert [line for line in lines if "events" not in line] == ["0:00 ready", "0:01 swapped"]
    assert [line.split()[0] for line in lines if "events" in line] == ["0:00", "0:02", "0:04"]
