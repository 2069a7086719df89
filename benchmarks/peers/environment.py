"""The environment of the peers that the product's own cannot hold: `.venv-peers`, of requirements.txt beside this file.

It is made when it is asked for, under the Python that asks, unless it stands and is of this lock and this Python. What
the lock names must install or the benchmark ends; Bytewax alone may be missing, since it has no wheels for every
Python, and then `missing` gives its installer's words.

    python -m benchmarks.peers.environment    make it now, and say what is in it
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-peers"
LOCK = Path(__file__).with_name("requirements.txt")
INSTALLER = ROOT / "requirements" / "install.py"
RECORD = VENV / "made-from.json"
"""What the environment was made from and what could not be installed; written last."""
OPTIONAL = "bytewax"
MEGABYTES = 100
"""What there is to fetch."""


def python() -> Path:
    """The interpreter of the peers' environment, which is made or replaced first where it has to be.

    Ends the process with pip's own words when the lock cannot be installed.
    """
    interpreter = VENV / "bin" / "python"
    if not interpreter.exists() or _record().get("made_from") != _made_from():
        _make()
    return interpreter


def missing() -> dict[str, str]:
    """The systems that cannot be measured here, each with its installer's message; empty where all can."""
    python()
    found: dict[str, str] = _record()["missing"]
    return found


def versions(*packages: str) -> dict[str, str]:
    """The versions of those of *packages* that are in the environment."""
    python()
    folders = [str(folder) for folder in VENV.glob("lib/python*/site-packages")]
    found = {distribution.name.lower(): distribution.version for distribution in distributions(path=folders)}
    return {package: found[package] for package in packages if package in found}


def split(lock: str, package: str) -> tuple[str, str]:
    """The text of *lock* without the entry of *package*, and that entry alone (empty where there is none)."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    mine = [entry for entry in entries if re.match(rf"{re.escape(package)}\b(?!-)", entry)]
    return "".join(entry for entry in entries if entry not in mine), "".join(mine)


def _make() -> None:
    """Make the environment anew: all of the lock but what is optional, and then that by itself."""
    installer = _installer()
    shutil.rmtree(VENV, ignore_errors=True)
    installer.create(VENV)
    required, optional = split(LOCK.read_text(), OPTIONAL)
    with tempfile.TemporaryDirectory(prefix="faust-onnx-peers-") as folder:
        required_lock, optional_lock = Path(folder) / "required.txt", Path(folder) / f"{OPTIONAL}.txt"
        required_lock.write_text(required)
        optional_lock.write_text(optional)
        installer.install(VENV, required_lock, megabytes=MEGABYTES)
        why = _install_optional(optional_lock)
    if why is not None:
        installer.say(f"{OPTIONAL} is left out: {why}")
    record = {"made_from": _made_from(), "missing": {} if why is None else {OPTIONAL: why}}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


def _install_optional(lock: Path) -> str | None:
    """Install the one entry of *lock*, whose dependencies are there; None, or why it cannot be imported now."""
    interpreter = str(VENV / "bin" / "python")
    pip = [interpreter, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
    _, said = _run([*pip, "--require-hashes", "--no-deps", "-r", str(lock)])
    status, error = _run([interpreter, "-c", f"import {OPTIONAL}"])
    if status == 0:
        return None
    telling = [line for line in said.splitlines() if line.startswith(("Ignoring", "ERROR"))]
    return " ".join(telling) or error.strip().splitlines()[-1]


def _run(command: list[str]) -> tuple[int, str]:
    """The status that *command* ends with, and all that it says."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return ended.returncode, ended.stdout


def _made_from() -> str:
    """Names the lock and the Python, so that another of either makes another environment."""
    return f"{sys.version_info[0]}.{sys.version_info[1]} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"


def _record() -> dict[str, Any]:
    """What stands in the environment's record; empty where there is none."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def _installer() -> Any:
    """The script that makes the product's environment, as a module: it stands in no package."""
    specification = importlib.util.spec_from_file_location("install", INSTALLER)
    assert specification is not None  # noqa: S101  # it is a file of this project
    assert specification.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def main() -> None:
    """Make the environment if need be and print what can be measured with it."""
    print(python())
    for package, version in versions("quixstreams", OPTIONAL, "confluent-kafka", "onnxruntime", "matplotlib").items():
        print(f"{package} {version}")
    for package, why in missing().items():
        print(f"{package} is missing: {why}")


if __name__ == "__main__":
    main()
