"""The rate of one run of one system, and whether what it wrote is right."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.peers.scoring import THRESHOLD
from benchmarks.processes import Unfit, cpu_seconds
from benchmarks.systems import OURS_EXACTLY_ONCE

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster
    from benchmarks.peers.scoring import Scoring
    from benchmarks.processes import Running
    from benchmarks.systems import Job

WARM_UP = 0.2
"""Share of the records before the rate is taken."""
N_COMPARED = 500
"""Predictions of each partition that are compared with a scoring here."""
TOLERANCE = 1e-5
"""Scores may differ by so much: onnxruntime's builds do not add in the same order."""
MARKERS = 0.01, 1000
"""Offsets that transactions may take for themselves, one for each and partition: a share of the records, or so many."""


@dataclass(frozen=True)
class Rate:
    """What one run of one system came to."""

    events: int
    """Predictions written within the window."""
    seconds: float
    events_per_s: float
    cpu_us_per_event: float
    """Processor time of the system's process and of all that it started, over the window."""
    first_prediction_s: float
    """From the start of the process to the first prediction that could be seen."""


@dataclass(frozen=True)
class Window:
    """Between which moments a rate is taken."""

    n: int
    """Events on the topic: from a fifth of them until the last."""
    warm_up_s: float
    """Time after the first prediction at which it begins even if there is no fifth yet."""
    longest_s: float
    """It ends then even if the last is not predicted."""


def measure(running: Running, cluster: Cluster, job: Job, window: Window) -> Rate:
    """The rate of a system just started; Unfit if it does not do its work."""
    n, longest_s = window.n, window.longest_s

    def written() -> int:
        return cluster.written(job.predictions)

    first_s = running.wait_until(lambda: written() > 0, within_s=120, what="the first prediction")
    warm_from_s = time.monotonic() + window.warm_up_s
    running.wait_until(
        lambda: written() >= WARM_UP * n or time.monotonic() > warm_from_s, within_s=600, what="warming up"
    )
    began_s, began_cpu_s, began = time.monotonic(), cpu_seconds(running.pid), written()
    running.wait_until(
        lambda: written() >= n or time.monotonic() > began_s + longest_s, within_s=longest_s + 60, what="the window"
    )
    seconds, cpu_s, events = time.monotonic() - began_s, cpu_seconds(running.pid) - began_cpu_s, written() - began
    allowed = n + max(MARKERS[0] * n, MARKERS[1]) if job.system == OURS_EXACTLY_ONCE else n
    if written() > allowed:
        raise Unfit(f"{job.system} wrote {written()} predictions for {n} events\n{running.last_lines()}")
    if events <= 0:
        done = began >= n
        why = f"{n} events were too few" if done else f"nothing was predicted for {seconds:.1f} s"
        raise Unfit(f"{job.system}: {why}\n{running.last_lines()}")
    return Rate(
        events=events,
        seconds=round(seconds, 3),
        events_per_s=round(events / seconds, 1),
        cpu_us_per_event=round(cpu_s / events * 1e6, 2),
        first_prediction_s=round(first_s, 2),
    )


def compare(cluster: Cluster, job: Job, scoring: Scoring) -> None:
    """Unfit unless the first predictions of *job* say what a scoring of their records here says."""
    records = cluster.sample(job.features, -(-N_COMPARED // job.workload.rows_per_record))
    values = scoring.score([r.value() or b"" for r in records], [r.timestamp()[1] for r in records])
    expected = {answer["id"]: answer for answer in map(json.loads, values)}
    predictions = [json.loads(message.value() or b"") for message in cluster.sample(job.predictions, N_COMPARED)]
    known = [prediction for prediction in predictions if prediction["id"] in expected]
    if len(known) < N_COMPARED:
        raise Unfit(f"{job.system}: {len(known)} of {len(predictions)} predictions are of the first records")
    for prediction in known:
        wanted = expected[prediction["id"]]
        if not agrees(prediction, wanted):
            raise Unfit(f"{job.system} predicted {prediction} where a scoring here gives {wanted}")


def agrees(prediction: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether two predictions of one record say the same; the class may differ only where the scores hardly decide it.

    >>> agrees({"version": 1, "event_at": 2.0, "prediction": 1, "score": 0.500001},
    ...        {"version": 1, "event_at": 2.0, "prediction": 0, "score": 0.499999})
    True
    """
    if any(prediction.get(key) != wanted[key] for key in ("version", "event_at")):
        return False
    key = "score" if "score" in wanted else "scores"
    mine, right = ([each[key]] if key == "score" else each[key] for each in (prediction, wanted))
    if len(mine) != len(right) or any(abs(a - b) > TOLERANCE for a, b in zip(mine, right, strict=True)):
        return False
    if prediction["prediction"] == wanted["prediction"]:
        return True
    if key == "score":
        return abs(float(wanted["score"]) - THRESHOLD) <= TOLERANCE
    best, other = (float(right[each["prediction"]]) for each in (wanted, prediction))
    return best - other <= 2 * TOLERANCE
