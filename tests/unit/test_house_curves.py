"""What the open loops and the curves of the benchmarks call saturated, carried and a cliff, without running them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cliffs import cliffs
from benchmarks.feedback import OUTCOMES, Sample, judged
from benchmarks.latency import goals
from benchmarks.observer import Seen
from benchmarks.open_loop import AT_ONCE, Plan
from benchmarks.scale import judged_curve
from benchmarks.variations import CURVES, QUICK_CURVES, Point


@pytest.mark.parametrize(("now_s", "number"), [(4.9, 100), (5.0, 101), (5.0105, 111), (900.0, 10_100)])
def test_what_is_due_together_is_sent_together(now_s: float, number: int) -> None:
    """A sender that wakes up sends everything whose time has come, and nothing of the time to come."""
    assert Plan("features", rate=1000.0, begins_s=5.0, first=100, n=10_000).due_by(now_s) == number


def test_a_closed_loop_is_a_plan_of_which_all_is_due() -> None:
    """What holds the sender back is then the leave it is given."""
    assert Plan("features", AT_ONCE, begins_s=5.0, first=0, n=1 << 30).due_by(7.0) == 1 << 30


def seen(*parts_s: float, missing: int = 0) -> Seen:
    """Latencies, a hundred of each."""
    latencies_s = np.repeat(np.array(parts_s), 100)
    latencies_s[len(latencies_s) - missing :] = np.nan
    return Seen(latencies_s, per_s=100.0)


def test_a_steady_latency_is_carried_however_high() -> None:
    """Saturated is who falls behind, not who is slow; a stall in the middle that was made up for is none either."""
    assert seen(2.0, 2.0, 2.1, 2.0, 2.2).why_saturated(0) == ""
    assert seen(0.01, 0.01, 3.0, 0.5, 0.01).why_saturated(0) == ""


def test_a_latency_that_grows_or_never_ends_is_saturated() -> None:
    """Growth over the window, a prediction that did not come, one that came too late."""
    assert "rose from 0.10 s to 2.50 s" in seen(0.1, 0.7, 1.3, 1.9, 2.5).why_saturated(0)
    assert "7 of 500" in seen(0.1, 0.1, 0.1, 0.1, 0.1, missing=7).why_saturated(0)
    assert "100 of 200" in seen(0.1, 11.0).why_saturated(0)


def test_the_lead_in_does_not_count_as_growth() -> None:
    """What is left out cannot make a system look steadier or worse."""
    assert seen(0.1, 2.0, 2.0, 2.0, 2.0, 2.0).why_saturated(100) == ""


def test_who_is_saturated_is_not_below_anybody() -> None:
    """A goal is met only by a latency that was measured; a rival that cannot carry a rate is beaten by one that can."""
    slow, fast, saturated = {"p99_ms": 20.0}, {"p99_ms": 9.0}, {"saturated": True}
    rates = {
        "1000": {"ours": fast, "quix-streams": slow, "kafka-streams-ort": slow},
        "10000": {"ours": fast, "quix-streams": saturated, "kafka-streams-ort": fast},
    }

    assert list(goals(rates).values()) == [True, True, False]
    assert list(goals({"1000": {"ours": saturated, "quix-streams": saturated}}).values()) == [False, False]


def test_a_fixed_cost_and_a_price_per_unit_are_no_cliff() -> None:
    """A straight line has none, wherever the points lie, and noise does not make one."""
    sizes = [10, 30, 100, 300, 1000]

    assert cliffs(sizes, [8.0 + 0.1 * size for size in sizes], grows=True) == []
    assert cliffs(sizes, [9.4, 10.3, 18.9, 37.1, 110.0], grows=True) == []


def test_a_step_and_a_square_are_cliffs() -> None:
    """The first unit that costs far more than those before it is found, and said."""
    assert cliffs([10, 100, 300, 1000], [9.0, 18.0, 120.0, 190.0], grows=True) == [
        "from 100 to 300: a unit costs 0.510, after 0.100"
    ]
    assert len(cliffs([10, 100, 1000], [10.0, 20.0, 1100.0], grows=True)) == 1


def test_what_should_not_cost_more_may_cost_half_more() -> None:
    """Partitions are no work of their own."""
    assert cliffs([1, 8, 64], [10.0, 11.0, 14.9], grows=False) == []
    assert len(cliffs([1, 8, 64], [10.0, 11.0, 15.1], grows=False)) == 1


@pytest.mark.parametrize("curve", [*CURVES, *QUICK_CURVES], ids=lambda curve: curve.field)
def test_curves_go_up_through_the_same_point(curve) -> None:
    """One thing is varied at a time, so all curves share the point that is workload (a) in size."""
    assert list(curve.sizes) == sorted(set(curve.sizes))
    assert Point() in curve.points


def test_bytes_are_judged_by_the_records_and_not_by_what_was_added() -> None:
    """Nothing added is a size of 600 bytes and not of 0, by which nothing could be divided."""
    curve = next(curve for curve in CURVES if curve.field == "padding_bytes")
    rows = [
        {"record_bytes": size, "cpu_us_per_event": cost} for size, cost in [(600, 9.0), (2600, 12.0), (10_600, 90.0)]
    ]

    judged_rows = judged_curve(curve, rows)

    assert judged_rows["size"] == "record_bytes"
    assert len(judged_rows["cliffs"]) == 1


def phase(waiting: list[int], *, latest_s: float = 0.01) -> dict[str, object]:
    """What a phase at 1,000/s comes to in which so many labels wait, second by second."""
    samples = [Sample(float(at), 0.3 * at, 1000 * at, 1000 * at - n, 0, n) for at, n in enumerate(waiting)]
    return judged(1000, samples, latest_s)


def test_a_rate_is_carried_while_what_waits_does_not_grow() -> None:
    """Ups and downs are no growth; growth, a large rest and a late sender are."""
    assert phase([300, 500, 200, 400, 300])["carried"]
    assert not phase([300, 600, 900, 1200, 1500])["carried"]
    assert not phase([2500, 2500, 2500, 2500, 2500])["carried"]
    assert not phase([300, 500, 200, 400, 300], latest_s=1.5)["carried"]


def test_outcomes_are_read_from_the_metrics_page() -> None:
    """Every state, whatever the order of the labels."""
    page = """# TYPE faust_onnx_labels_total counter
faust_onnx_labels_total{model="m",state="joined"} 1.2e+06
faust_onnx_labels_total{state="too_late",model="m"} 3.0
faust_onnx_labels_created{model="m",state="joined"} 1.7e+09
"""

    assert OUTCOMES.findall(page) == [("joined", "1.2e+06"), ("too_late", "3.0")]
