"""docs/training.md is true: its commands give its table, its definition is taken, and its figures are the program's."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest
import river
from typer.testing import CliRunner

from app.cli import app
from app.training import codes, dataset, folds, parity
from app.training.layout import Columns

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
OWN_DATA = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")


def block(language, text=DOC):
    """The first code block of *language*."""
    return re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]


def cells(table):
    """The cells of a printed table, numbers as numbers."""
    found = [re.split(r" {2,}|± ", line.strip()) for line in table.strip().splitlines()]
    return [[float(cell) if re.fullmatch(r"[0-9.]+ ?", cell) else cell for cell in row] for row in found]


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch):
    """Types a line into an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda line: CliRunner().invoke(app, shlex.split(line.removeprefix("$ faust-onnx ")))


def test_the_commands_give_the_table(run, tmp_path):
    """As it stands there, but for the last digits, in which machines may differ; and the files that it names."""
    shutil.copy(Path(river.__file__).parent / "datasets" / "phishing.csv.gz", tmp_path)
    results = [run(line) for line in block("console").splitlines()]

    assert [result.exit_code for result in results] == [0, 0]
    for shown, printed in zip(cells(block("text")), cells(results[-1].stdout), strict=True):
        assert shown[0] == printed[0]
        assert [cell for cell in printed if isinstance(cell, float)] == pytest.approx(
            [cell for cell in shown if isinstance(cell, float)], rel=0.1, abs=1e-3
        )
    assert (tmp_path / "models" / "sites" / "releases" / "1.onnx").is_file()
    assert (tmp_path / "models" / "sites" / "card.md").is_file()


def test_the_definition_is_taken(run, tmp_path):
    """The forest of the page is what is trained, texts and numbers side by side; ONNX says the same."""
    with (tmp_path / "customers.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["plan", "calls", "left"])
        rows.writerows([["basic", "plus"][n % 2], n * n % 97, ["no", "yes"][n * n % 97 > 40]] for n in range(200))
    run("init --from customers.csv --pipeline churn --label left")
    (tmp_path / "models" / "churn" / "definition.py").write_text(block("python"))
    result = run("model train customers.csv --pipeline churn")

    assert result.exit_code == 0, result.stderr
    assert "forest (chosen)" in result.stdout
    assert "gradient boosting" not in result.stdout


def test_what_a_definition_is_told_is_described():
    """Each field of the columns has its row."""
    assert set(re.findall(r"^\| `(\w+)` \|", DOC, re.MULTILINE)) >= set(Columns._fields)


def test_figures_are_those_of_the_program():
    """Folds, tolerances, limits of rows and categories."""
    words = {5: "five"}
    assert f"another, {words[folds.N_FOLDS]} times over" in DOC
    assert f"more than {parity.TOLERANCE:.0e}".replace("e-0", "e-") in DOC
    assert f"at least\n{codes.ROWS_MIN} training rows" in DOC
    assert f"at most the {codes.CATEGORIES_MAX} most frequent" in DOC
    assert dataset.ROWS_MAX == 1_000_000
    assert f"more than {dataset.CELLS_MAX // 1_000_000} million numbers" in DOC


def test_flags_that_are_named_exist(run, monkeypatch):
    """Those of the table, and no other is left out of it but the settings."""
    monkeypatch.setenv("COLUMNS", "400")
    helped = run("model train --help").stdout
    named = set(re.findall(r"--[a-z][a-z-]+", DOC.partition("| flag | what |")[2].partition("\n\n")[0]))

    assert named <= set(re.findall(r"--[a-z-]+", helped))
    assert {"--seed", "--max-rows", "--force", "--out", "--json", "--quiet", "--publish", "--activate"} <= named


def test_the_eight_rows_of_the_other_page_are_too_few(run, tmp_path):
    """docs/own-data.md has the command and the message."""
    (tmp_path / "customers.csv").write_text(block("csv", OWN_DATA), encoding="utf-8")
    lines = [line for line in OWN_DATA.splitlines() if line.startswith("$ faust-onnx")]
    assert run(lines[0]).exit_code == 0
    result = run(next(line for line in lines if "model train" in line))

    assert result.exit_code == 2
    assert result.stderr.strip() in OWN_DATA
