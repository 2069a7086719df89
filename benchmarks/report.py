"""What a result needs to be worth something later: the machine, the versions, the commit; and where it is kept."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.embedded.lock import read_lock

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("results")
PACKAGES = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "onnxruntime",
    "msgspec",
    "numpy",
    "scikit-learn",
    "uvloop",
)


def surroundings(*, full: bool) -> dict[str, Any]:
    """Machine, versions and commit; *full* says whether the run had its full length."""
    return {
        "full": full,
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--", "app", "benchmarks", "requirements")),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            "kafka": read_lock().version,
            **{package: version(package) for package in PACKAGES},
        },
    }


def write(name: str, result: dict[str, Any]) -> Path:
    """Keep *result* as benchmarks/results/<name>.json; a short run does not take the place of a full one."""
    path = RESULTS / (f"{name}.json" if result["full"] else f"{name}-quick.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    return path.relative_to(ROOT)


def _cpu() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    """What git says; empty where there is no repository."""
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607  # the git on the PATH is the one meant
    return answer.stdout.strip()
