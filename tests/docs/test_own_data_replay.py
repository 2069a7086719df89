"""The replay of docs/own-data.md, typed as it stands there, on a Kafka that its own command starts."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.programs import ROOT, environment

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
FILE = re.search(r"^```csv\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
SECTION = PAGE.split("\n## Replay: the file as a stream\n")[1].split("\n## ")[0]
INIT = next(line for line in PAGE.splitlines() if line.startswith("$ faust-onnx init --from customers.csv"))
TYPED = [
    line
    for block in re.findall(r"^```console\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
TABLE = re.search(r"^```text\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)[1]


def churn_model():
    """P(yes) = sigmoid(calls - 3.5), with an input for each feature of the page's contract."""
    types = {"plan": TensorProto.STRING, "calls": TensorProto.INT64, "roaming": TensorProto.BOOL}
    names = ("plan", "calls", "roaming", "minutes")
    inputs = [helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), [None, 1]) for n in names]
    nodes = [
        helper.make_node("Cast", ["calls"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "bias"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["p"]),
    ]
    bias = helper.make_tensor("bias", TensorProto.FLOAT, [1], [-3.5])
    output = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "churn", inputs, [output], [bias])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(name="shell")
def _shell(tmp_path):
    """Runs what is typed in a folder with the page's file and a model; what stays in a terminal ends with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "customers.csv").write_text(FILE, encoding="utf-8")
    onnx.save(churn_model(), tmp_path / "churn.onnx")
    # The ports that the page relies on may be taken on the machine that tests.
    environ = environment(broker=f"127.0.0.1:{port}", http="127.0.0.1:0")
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"

    class Shell:
        def __init__(self):
            self.left_running = []

        def run(self, line):
            """What *line* prints."""
            words = shlex.split(line.removeprefix("$ "))
            done = self.end_of(words)
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            return done.stdout

        def end_of(self, words):
            """Exit code, standard output and standard error of *words*."""
            return subprocess.run(
                words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
            )

        def start(self, line, *more):
            """Start *line*, and leave it running once it says that it is ready."""
            ready = tmp_path / f"{len(self.left_running)}.ready"
            words = [*shlex.split(line.removeprefix("$ ")), *more, "--ready-file", str(ready)]
            with ready.with_suffix(".log").open("w") as log:
                process = subprocess.Popen(words, cwd=tmp_path, env=environ, stdout=log, stderr=log)
            self.left_running.append(process)
            return ready

    shell = Shell()
    shell.port = port
    yield shell
    ended = []
    for process in reversed(shell.left_running):
        process.send_signal(signal.SIGINT)
        ended.append(process.wait(30))
    assert set(ended) == {0}


async def test_the_replay_works_as_it_is_written(shell, tmp_path, eventually):
    """From the contract to the table: Kafka and topics, a worker, a model, and the accuracy that the page shows."""
    up, worker, publish, replay = TYPED
    shell.run(INIT)
    ready = shell.start(up, "--port", str(shell.port))
    await eventually(lambda: ready.exists() or shell.left_running[0].poll() is not None, deadline_s=60)
    assert ready.read_text() == f"127.0.0.1:{shell.port}"
    ready = shell.start(worker)
    shell.run(publish)
    await eventually(lambda: ready.exists() or shell.left_running[1].poll() is not None, deadline_s=60)

    assert shell.run(replay) == TABLE
    told = (tmp_path / "0.log").read_text()
    assert "topics are kept in state/kafka" in told
    assert "topics of churn: 8 made, 0 were there" in told
    assert (tmp_path / "state" / "kafka" / "data").is_dir()
    again = shell.end_of(["faust-onnx", "up", "--port", str(shell.port)])
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith(
        f"error: --port {shell.port}: a Kafka answers there already: use it, or stop it first"
    )
