"""The quick start of the README, typed as it stands there, on a real Kafka."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.programs import ROOT, environment

pytestmark = pytest.mark.broker
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Quick start")[1].split("\n## ")[0]
TYPED = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
PROGRAM = re.search(r"^```python\n# send\.py\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)[1]


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(name="shell")
def _shell(start_kafka, tmp_path):
    """Runs a command of the README in a folder like the project's; a broker of its own, for the pipeline is `fraud`."""
    shutil.copytree(ROOT / "models", tmp_path / "models")
    (tmp_path / "send.py").write_text(PROGRAM, encoding="utf-8")
    bin_dir = Path(sys.executable).parent
    # The port of the README may be taken on the machine that tests.
    environ = environment(http=f"127.0.0.1:{free_port()}")
    environ["PATH"] = f"{bin_dir}{os.pathsep}{environ['PATH']}"
    (export,) = [line for line in TYPED if line.startswith("export FAUST_ONNX_")]
    environ |= dict(word.split("=", 1) for word in export.split()[1:])
    environ["FAUST_ONNX_BROKER"] = start_kafka().bootstrap

    class Shell:
        http = environ["FAUST_ONNX_HTTP"]

        def __init__(self):
            self.workers = []

        def run(self, command):
            """What *command* prints; fails with what it says if it fails."""
            words = command.replace("127.0.0.1:8080", self.http)
            done = subprocess.run(  # noqa: S602  the README is typed into a shell
                words, shell=True, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            return done.stdout

        def start(self, command):
            """Start *command* and leave it running."""
            with (tmp_path / "worker.log").open("w") as log:
                self.workers.append(subprocess.Popen(command.split(), cwd=tmp_path, env=environ, stderr=log))

    shell = Shell()
    yield shell
    for worker in shell.workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


@pytest.fixture(name="answer")
def _answer(shell):
    """What the worker says at a path; None while it does not answer with 200."""

    def ask(path):
        try:
            with urllib.request.urlopen(f"http://{shell.http}{path}", timeout=5) as response:
                return json.load(response)
        except OSError:
            return None

    return ask


async def test_the_quick_start_works_as_it_is_written(shell, answer, eventually):
    """Every command in its order; the event is scored and its label joined, then version 2 takes over."""
    commands = iter([line for line in TYPED if not line.startswith(("make ", "export "))])

    for command in commands:
        if command == "faust-onnx worker":
            shell.start(command)
            break
        shell.run(command)
    await eventually(lambda: answer("/readyz"), deadline_s=60)

    assert next(commands) == "python send.py"
    shell.run("python send.py")
    total = await eventually(lambda: (answer("/api/performance?pipeline=fraud") or {})["total"].get("n"))
    assert total == 1

    said = {command: shell.run(command) for command in commands}
    assert 'faust_onnx_labels_total{model="fraud",state="joined"} 1.0' in said["curl -s http://127.0.0.1:8080/metrics"]
    await eventually(lambda: answer("/api/status")["pipelines"]["fraud"]["models"]["current"]["version"] == 2)
    assert "all invariants hold" in said["faust-onnx verify"]
