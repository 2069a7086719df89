"""What the demo tells of a run: rates over the last seconds, the swap, the data set that starts over."""

from collections import Counter

import pytest

from app.demo.intake import Sent
from app.demo.observe import Facts, VersionFacts
from app.demo.story import Story


def story() -> Story:
    """A story at its beginning."""
    return Story("fraud", seconds=60.0, n_cases=776, window_s=10)


def facts(events_in: int, **others) -> Facts:
    """Facts with as many events and predictions."""
    return Facts(events_in=events_in, predictions=events_in, **others)


def sentences(view) -> list[str]:
    """What happened, without the times."""
    return [sentence for _, sentence in view.happenings]


def test_rates_are_over_the_last_ten_seconds():
    """A burst at the beginning is forgotten ten seconds later."""
    told = story()
    for second in range(31):
        told.look(float(second), facts(10_000 + 100 * second if second else 0), Sent())

    view = told.picture(30.0, next_step="")

    assert view.events_per_s == pytest.approx(100.0)
    assert view.predictions_per_s == pytest.approx(100.0)


def test_there_is_a_picture_after_one_look():
    """The first picture divides by no time."""
    told = story()
    told.look(0.0, facts(5), Sent())

    assert told.picture(0.0, next_step="").events_per_s == 0.0


def test_the_history_has_one_value_a_second_however_often_one_looks():
    """Four looks a second make one block of the sparkline."""
    told = story()
    for look in range(41):
        told.look(look / 4, facts(look * 25), Sent())

    assert told.picture(10.0, next_step="").rate_history == pytest.approx((100.0,) * 10)


def test_a_version_is_live_once_a_prediction_of_it_was_seen():
    """Published is not live: the new version is `coming` until it has answered."""
    told = story()
    both = {1: VersionFacts(predicted=10), 2: VersionFacts()}
    told.look(0.0, facts(10, versions=both, versions_seen=frozenset({1})), Sent())
    coming = told.picture(0.0, next_step="")
    told.look(1.0, facts(20, versions=both, versions_seen=frozenset({1, 2})), Sent())
    live = told.picture(1.0, next_step="")

    assert [row.state for row in coming.versions] == ["live", "coming"]
    assert [row.state for row in live.versions] == ["retired", "live"]
    assert any("version 2 is live" in sentence for sentence in sentences(live))


def test_it_says_once_that_the_data_set_starts_over():
    """The second pass is announced; the picture shows the number of each later one."""
    told = story()
    for second, pass_number in enumerate((1, 2, 2, 3, 4)):
        told.look(float(second), facts(100 * second), Sent(pass_number=pass_number))
    view = told.picture(5.0, next_step="")

    assert [sentence for sentence in sentences(view) if "starts over" in sentence] == [
        "all 776 cases are sent; the data set starts over: pass 2, ids end in ~2"
    ]
    assert view.pass_number == 4


def test_events_without_an_outcome_are_those_with_neither_prediction_nor_dead_letter():
    """What is still open is what draining waits for."""
    at_work = Facts(events_in=100, predictions=90, dead_letters=Counter(not_json=2, bad_id=1))

    assert at_work.open_events == 7
