"""The demo: real data, a real Kafka, a worker, a better model while events flow, and a summary of what the topics hold.

    phishing -> schedule -> intake --features, labels--> Kafka <--> worker
                                                           |
             view <- story <- observe <--------------------+-------> recount (from offset 0), verify

Nothing is imported until `main` is called, so that the data can be had without the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def main(  # noqa: PLR0913 - the flags of the command line
    seconds: float | None = None,
    json_path: Path | None = None,
    rate: float | None = None,
    *,
    labels: bool | None = None,
    verify: bool | None = None,
    picture_path: Path | None = None,
) -> int:
    """Run the demo in this terminal; the exit code.

    seconds: how long records are sent; None = until Ctrl-C.
    json_path: file for the summary.
    rate: feature records a second; None = a rate that a person can follow, from 1,000 on the high-rate mode.
    labels, verify: whether labels are sent and the run is judged; None = yes, but not in the high-rate mode.
    picture_path: SVG file for the last view before the intake stops.

    0: all went well; 1: an event has no outcome, the worker died or the verifier found a violation; 2: misused;
    130: aborted by a second Ctrl-C. Raises ConfigurationError for values that cannot be run.
    """
    from rich.console import Console  # noqa: PLC0415 - see above

    from app.demo.options import STEADY_RATE, Options  # noqa: PLC0415 - see above
    from app.demo.program import run_demo  # noqa: PLC0415 - see above
    from app.settings import Settings  # noqa: PLC0415 - see above

    settings = Settings.load()
    options = Options(
        seconds=seconds,
        json_path=json_path,
        rate=STEADY_RATE if rate is None else rate,
        asked_labels=labels,
        asked_verify=verify,
        picture_path=picture_path,
        partitions=settings.partitions,
    )
    return run_demo(settings, options, Console())
