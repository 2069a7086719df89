"""The command line as far as it needs no Kafka: help, settings, exit codes, and words for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.settings import Settings, flag_of
from tests.programs import environment

COMMANDS = [
    [],
    ["demo"],
    ["init"],
    ["worker"],
    ["config"],
    ["verify"],
    ["doctor"],
    ["broker"],
    ["up"],
    ["replay"],
    ["topics", "create"],
    ["topics", "list"],
    ["model", "publish"],
    ["model", "train"],
    ["model", "activate"],
    ["model", "list"],
    ["model", "show"],
    ["dead-letters", "list"],
    ["dead-letters", "show"],
    ["dead-letters", "replay"],
]
HEAVY = ["faust", "aiokafka", "aiohttp", "numpy", "onnxruntime", "sklearn", "river", "prometheus_client", "pyarrow"]


@pytest.fixture(name="run")
def _run(bare_folder):  # noqa: ARG001  where it is run
    """Run the command line in an empty folder without settings of this machine."""
    return lambda *arguments, **env: CliRunner().invoke(app, [*arguments], env=env)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps(run, command):
    """`--help` answers for every command, and says by example how it is used."""
    result = run(*command, "--help")

    assert result.exit_code == 0
    assert "Example" in result.stdout or "First steps" in result.stdout


def test_all_commands_are_in_the_test_above():
    """No command is forgotten there."""
    named = {command[0] for command in COMMANDS if command}

    assert {each.name or each.callback.__name__ for each in app.registered_commands} <= named
    assert {each.name for each in app.registered_groups} <= named


def test_help_loads_nothing_heavy():
    """Who asks for help does not wait for Faust, numpy or onnxruntime."""
    code = f"import sys, app.cli; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_the_worker_has_a_flag_for_every_setting(run):
    """A setting cannot be added without its flag."""
    text = run("worker", "--help", COLUMNS="400").stdout

    assert [name for name in Settings.model_fields if flag_of(name) not in text] == []


def test_config_tells_each_value_and_its_origin(run, tmp_path):
    """The three sources and the default are told apart, in JSON and in the table."""
    (tmp_path / "faust-onnx.toml").write_text('app_id = "scoring"\npipelines = ["fraud", "churn"]\n')

    result = run("config", "--json", "--http", "127.0.0.1:0", "--no-create-topics", FAUST_ONNX_BROKER="kafka:9092")
    table = run("config", "--http", "127.0.0.1:0").stdout

    shown = json.loads(result.stdout)
    assert list(shown) == list(Settings.model_fields)
    assert shown["app_id"] == {"value": "scoring", "origin": "faust-onnx.toml"}
    assert shown["pipelines"]["value"] == ["fraud", "churn"]
    assert shown["broker"] == {"value": "kafka:9092", "origin": "environment FAUST_ONNX_BROKER"}
    assert shown["http"] == {"value": "127.0.0.1:0", "origin": "flag --http"}
    assert shown["create_topics"] == {"value": False, "origin": "flag --create-topics"}
    assert shown["partitions"] == {"value": 4, "origin": "default"}
    assert any(line.split() == ["pipelines", "fraud,churn", "faust-onnx.toml"] for line in table.splitlines())


def test_config_reads_the_file_it_is_told(run, tmp_path):
    """`--config` names another file."""
    (tmp_path / "other.toml").write_text("partitions = 7\n")

    assert json.loads(run("config", "--json", "--config", "other.toml").stdout)["partitions"] == {
        "value": 7,
        "origin": "other.toml",
    }


@pytest.mark.parametrize(
    ("arguments", "env", "text"),
    [
        (["config", "--http", "abc"], {}, "error: --http abc: must be host:port, for example 127.0.0.1:8080"),
        (["config"], {"FAUST_ONNX_HTTP": "abc"}, "error: FAUST_ONNX_HTTP=abc: must be host:port"),
        (["config"], {"FAUST_ONNX_BROKR": "a:1"}, "error: FAUST_ONNX_BROKR: unknown setting; did you mean"),
        (["config", "--config", "no.toml"], {}, "error: --config no.toml: there is no such file"),
        (["worker"], {}, "error: no pipeline is named; for example: --pipelines fraud"),
        (["worker", "--delivery", "at_most_once"], {}, "error: --delivery at_most_once: must be at_least_once"),
        (["worker", "--pipelines", "fraud"], {}, "error: models/fraud/contract.toml: "),
        (["topics", "create"], {}, "error: which pipelines? The settings name none"),
        (["topics", "list", "--pipeline", "fraud"], {}, "error: models/fraud/contract.toml: "),
        (["model", "list"], {}, "error: which pipeline? The settings name none"),
        (["model", "list"], {"FAUST_ONNX_PIPELINES": "a,b"}, "error: which pipeline? The settings name a, b"),
        (["dead-letters", "list"], {}, "error: which pipeline?"),
        (["verify"], {}, "error: which pipeline?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, arguments, env, text):
    """What the user did wrong is named on standard error, nothing goes to standard output."""
    result = run(*arguments, **env)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(text)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["dead-letters", "replay", "-P", "fraud"], "say which"),
        (["dead-letters", "replay", "0:1", "--all", "-P", "fraud"], "not both"),
        (["dead-letters", "show", "0-1", "-P", "fraud"], "PARTITION:OFFSET, for example 0:42"),
        (["dead-letters", "list", "--reason", "bad"], "not_json"),
        (["model", "activate", "0"], "greater than or equal to 1"),
        (["modle"], "model"),
    ],
)
def test_a_misused_flag_is_exit_code_2(run, arguments, text):
    """Wrong usage is told with what would be right."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert text in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["dead-letters", "list", "-P", "fraud"],
        ["dead-letters", "show", "0:0", "-P", "fraud"],
    ],
)
def test_a_kafka_that_does_not_answer_is_one_line_and_exit_code_1(run, arguments):
    """The address is named, and how to set it."""
    result = run(*arguments, "--broker", "127.0.0.1:1")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: Kafka at 127.0.0.1:1 cannot be reached")
    assert len(result.stderr.splitlines()) == 1


def test_verify_hands_its_flags_on_and_its_exit_code_back(run, capfd):
    """The verifier runs as a program of its own, with the settings and whatever else was given."""
    result = run("verify", "--pipeline", "fraud", "--no-faults", "--json", "report.json", FAUST_ONNX_BROKER="a:1")

    assert result.exit_code == 2
    assert "could not check" in capfd.readouterr().err
    assert json.loads(Path("report.json").read_text())["pipeline"] == "fraud"


def test_the_program_starts_as_a_module():
    """`python -m app.cli` is the command line, with its exit codes."""
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "config", "--http", "x"],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (
        2,
        "error: --http x: must be host:port, for example 127.0.0.1:8080\n",
    )
