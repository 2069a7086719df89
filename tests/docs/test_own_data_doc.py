"""docs/own-data.md is true: its command makes of its file what it shows, and its tables name what the program knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.drafting import column_tally
from app.drafting.feature_draft import CATEGORIES_MAX
from app.drafting.label_draft import CLASSES_MAX
from app.features import Contract
from app.tables.cells import BOOLS, MISSING_WORDS
from app.tables.delimited import DELIMITERS

DOC = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")


def block(language):
    """The first code block of *language*."""
    return re.search(rf"^```{language}\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(name="result")
def _result(tmp_path, monkeypatch):
    """What the page's command on its file says, in a folder where it has written its contract."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "customers.csv").write_text(block("csv"), encoding="utf-8")
    words = shlex.split(block("console").removeprefix("$ faust-onnx "))
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


def test_the_command_says_what_the_page_shows(result):
    """The table on standard output, then the task and what was written."""
    table, _, said = block("text").partition("\n\n")

    assert result.exit_code == 0
    assert result.stdout.strip() == table
    assert result.stderr.startswith(said)


def test_the_contract_has_what_the_page_shows(result, tmp_path):
    """The excerpt stands in the file, and the file loads."""
    path = tmp_path / "models" / "churn" / "contract.toml"

    assert result.exit_code == 0
    assert block("toml") in f"{path.read_text(encoding='utf-8')}\n"
    assert Contract.load(path).label_field == "left"
    assert "EDIT THIS" in path.read_text(encoding="utf-8")


def test_words_and_limits_are_those_of_the_program():
    """What counts as missing or true, how many categories and classes, which delimiters."""
    missing = next(line for line in DOC.splitlines() if line.startswith("| all but `string` |"))
    truth = next(line for line in DOC.splitlines() if line.startswith("| `bool` |"))

    assert {word.lower() for word in re.findall(r"`([^`]+)`", missing)} - {"string"} == MISSING_WORDS
    assert set(re.findall(r"`([^`]+)`", truth.split(" | ")[1])) == set(BOOLS)
    assert f"up to {CATEGORIES_MAX} different texts" in DOC
    assert f"at most {CLASSES_MAX} different whole numbers" in DOC
    assert all(f"`{each}`" in DOC.replace("\\|", "|") for each in DELIMITERS.replace("\t", ""))
    assert column_tally.VALUES_MAX >= CATEGORIES_MAX
