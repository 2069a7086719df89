"""Plots of the recorded results: docs/plots/*.svg, made by benchmarks/drawing.py in the peers' environment.

    python -m benchmarks.plots [--quick] [--out FOLDER]

The product's environment has no matplotlib, so drawing is a process of the other one. The same results give the same
bytes. A result that is not there is left out and told.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import environment
from benchmarks.report import RESULTS, ROOT

DRAWING = Path(__file__).with_name("drawing.py")


def main() -> None:
    """Draw what is recorded."""
    parser = argparse.ArgumentParser(prog="benchmarks.plots", description="Plots of the recorded results.")
    parser.add_argument("--quick", action="store_true", help="of short runs: to look at the plots, not at the figures")
    parser.add_argument("--out", type=Path, help="another folder than docs/plots; needed for short runs")
    arguments = parser.parse_args()
    if arguments.quick and not arguments.out:
        parser.error("plots of short runs do not belong into docs/plots: give --out FOLDER")
    out = arguments.out or ROOT / "docs" / "plots"
    command = [str(environment.python()), str(DRAWING), str(RESULTS), str(out), "-quick" if arguments.quick else ""]
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
