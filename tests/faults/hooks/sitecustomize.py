"""Test only: what a worker process is made to believe, because it finds this module on its PYTHONPATH.

- `FAULT_CLOCK=<file>`: `time.time()` and `time.time_ns()` are as many seconds off as the file says, at any moment. It
  is a stepped clock as far as Python code asks for the time; Kafka, files and `datetime.now()` keep the true one.
- `FAULT_CONSTANTS=<module>:<name>=<number>,...`: constants of the program, or of a class, that no setting changes.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import os
import sys
import threading
import time
from pathlib import Path

LOOK_EVERY_S = 0.02


def shift_clock(file: Path) -> None:
    """Have this process's time follow what *file* says."""
    true_time, shift_s = time.time, 0.0

    def follow() -> None:
        nonlocal shift_s
        while True:
            try:
                shift_s = float(file.read_text())
            except (OSError, ValueError):  # it is being written
                continue
            time.sleep(LOOK_EVERY_S)

    time.time = lambda: true_time() + shift_s
    time.time_ns = lambda: int((true_time() + shift_s) * 1e9)
    threading.Thread(target=follow, daemon=True, name="test clock").start()


class Constants(importlib.abc.MetaPathFinder):
    """Sets constants of modules once they were imported."""

    def __init__(self, text: str) -> None:
        self.wanted: dict[str, list[tuple[str, float]]] = {}
        for entry in text.split(","):
            place, _, value = entry.partition("=")
            module, _, name = place.partition(":")
            self.wanted.setdefault(module, []).append((name, float(value)))

    def find_spec(self, fullname, path=None, target=None):  # the signature is importlib's
        """The usual one, which sets the constants after the module's own code has run."""
        if fullname not in self.wanted:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        execute = spec.loader.exec_module

        def execute_and_set(module) -> None:
            execute(module)
            for name, value in self.wanted[fullname]:
                *path, last = name.split(".")
                owner = functools.reduce(getattr, path, module)
                if not hasattr(owner, last):
                    raise AttributeError(f"{fullname} has no {name}")
                setattr(owner, last, value)

        spec.loader.exec_module = execute_and_set
        return spec


if "FAULT_CLOCK" in os.environ:
    shift_clock(Path(os.environ["FAULT_CLOCK"]))
if "FAULT_CONSTANTS" in os.environ:
    sys.meta_path.insert(0, Constants(os.environ["FAULT_CONSTANTS"]))
