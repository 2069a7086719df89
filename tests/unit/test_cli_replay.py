"""`faust-onnx replay` and `faust-onnx up`: what they refuse before anything is sent or started."""

from __future__ import annotations

import io
import socket

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.cli.progress import standing_bar
from app.replay import Standing

CONTRACT = """
name = "churn"
task = "binary"
classes = ["no", "yes"]
label_field = "left"
label_horizon_s = 60
{more}
[[features]]
name = "calls"
"""


@pytest.fixture(name="run")
def _run(bare_folder):
    """Run the command line in a folder with a contract and a file, without settings of this machine."""
    (bare_folder / "calls.csv").write_text("calls,left\n1,no\n")
    (bare_folder / "header.csv").write_text("calls,left\n")
    (bare_folder / "other.csv").write_text("call,left\n1,no\n")
    path = bare_folder / "models" / "churn" / "contract.toml"
    path.parent.mkdir(parents=True)

    def run(*arguments, more=""):
        path.write_text(CONTRACT.format(more=more))
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.mark.parametrize(
    ("arguments", "more", "text"),
    [
        (["calls.cvs"], "", "calls.cvs: there is no such file; did you mean calls.csv?"),
        (["header.csv"], "", "header.csv: has no rows"),
        (
            ["other.csv"],
            "",
            "other.csv has no column calls, which the contract of churn needs for its feature calls;",
        ),
        (["calls.csv", "--rate", "5", "--speed", "2"], "", "--rate and --speed: say one of them"),
        (["calls.csv", "--speed", "2"], "", "--speed: the contract of churn names no event_time_field"),
        (["calls.csv", "--keep-times"], "", "--keep-times: the contract of churn names no event_time_field"),
        (["calls.csv", "--fresh-ids"], "", "--fresh-ids: the contract of churn names no id_field"),
        (["calls.csv"], 'id_field = "customer"', "calls.csv has no column customer"),
        (
            ["calls.csv", "--speed", "2"],
            'event_time_field = "at"\nevent_time_format = "s"',
            "calls.csv has no column at",
        ),
        (["calls.csv"], 'encoding = "arrow"', 'the contract of churn says encoding = "arrow"'),
        (["calls.csv", "--delimiter", "ab"], "", "--delimiter ab: must be one character"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(run, arguments, more, text):
    """One line with what, where and what to do; exit code 2."""
    result = run("replay", *arguments, "--pipeline", "churn", "--broker", "127.0.0.1:1", more=more)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {text}")
    assert len(result.stderr.splitlines()) == 1


def test_a_pipeline_that_is_misspelt_is_told_with_what_was_meant(run):
    """As for all commands."""
    result = run("replay", "calls.csv", "--pipeline", "chrun")

    assert result.exit_code == 2
    assert "did you mean churn?" in result.stderr


def test_a_kafka_that_does_not_answer_is_told(run):
    """Exit code 1 and how to start one."""
    result = run("replay", "calls.csv", "--pipeline", "churn", "--broker", "127.0.0.1:1", "--quiet")

    assert result.exit_code == 1
    assert "Kafka at 127.0.0.1:1 cannot be reached" in result.stderr


def test_the_bar_of_a_terminal_shows_what_is_sent_and_joined(monkeypatch):
    """On standard error, and only where that is a terminal."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name, value in {"TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        with standing_bar("churn") as show:
            show(Standing(0.5, 1_200, 900, 300, 1_100, 7, 800))
        shown[type(stream)] = stream.getvalue()

    assert "churn" in shown[Terminal]
    assert "sent 1,200  predicted 1,100  dead 7  labels 900  joined 800" in shown[Terminal]
    assert not shown[io.StringIO]


def test_a_port_that_is_taken_is_told_with_another(run):
    """Before a broker is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("up", "--port", str(port))

    assert result.exit_code == 2
    assert result.stderr == (
        f"error: --port {port}: another program has it; another port: faust-onnx up --port {port + 1}\n"
    )
    assert run("up", "--pipeline", "chrun").exit_code == 2
