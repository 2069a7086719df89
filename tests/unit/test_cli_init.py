"""`faust-onnx init` on files: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.features import Contract

TRUTH = ["no", "yes", "no"]
ROWS = "".join(
    f'c-{n:03},2026-01-{1 + n % 28:02},{n * n % 97},{["basic", "plus"][n % 2]},"a\nb {n}",{TRUTH[n % 3]}\n'
    for n in range(60)
)
CUSTOMERS = f"customer,since,calls,plan,note,churned\n{ROWS}"


@pytest.fixture(name="run")
def _run(bare_folder):
    """Run `init` in a folder with customers.csv, without settings of this machine."""
    (bare_folder / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(app, ["init", *arguments])


CHURN = ("--from", "customers.csv", "--pipeline", "churn", "--label", "churned")


def test_a_contract_is_written_and_explained(run, tmp_path):
    """The file loads; the table goes to standard output, what to do next to standard error."""
    result = run(*CHURN, "--id", "customer", "--time", "since")
    contract = Contract.load(tmp_path / "models" / "churn" / "contract.toml")

    assert result.exit_code == 0
    assert (contract.name, contract.positive, contract.id_field, contract.label_field) == (
        "churn", "yes", "customer", "churned"
    )  # fmt: skip
    assert (contract.event_time_field, contract.event_time_format) == ("since", "iso8601")
    assert [(feature.name, feature.dtype) for feature in contract.features] == [("calls", "int"), ("plan", "string")]
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:3]] == [["calls", "int"], ["plan", "string"]]
    assert "60 of 60 rows looked at again are good by it" in result.stderr
    assert "faust-onnx topics create --pipeline churn" in result.stderr
    assert list((tmp_path / "models" / "churn").iterdir()) == [tmp_path / "models" / "churn" / "contract.toml"]


def test_a_contract_that_is_there_is_not_replaced_unasked(run, tmp_path):
    """--force says that it may be."""
    path = tmp_path / "models" / "churn" / "contract.toml"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    refused = run(*CHURN)

    assert (refused.exit_code, path.read_text()) == (2, "mine")
    assert "exists already; --force replaces it" in refused.stderr
    assert run(*CHURN, "--force").exit_code == 0
    assert Contract.load(path).name == "churn"


def test_json_and_quiet(run):
    """For programs everything is in one object; with --quiet nothing is said."""
    told = run(*CHURN, "--json")
    quiet = run(*CHURN, "--force", "--quiet")

    report = json.loads(told.stdout)
    assert (report["task"], report["positive"], report["rows"]) == ("binary", "yes", 60)
    assert [each["name"] for each in report["features"]] == ["calls", "plan"]
    assert {each["path"][0] for each in report["left_out"]} == {"customer", "since", "note"}
    assert report["checked"] == {"rows": 60, "accepted": 60, "refused": {}}
    assert (told.stderr, quiet.stdout, quiet.stderr, quiet.exit_code) == ("", "", "", 0)


def test_rows_that_would_be_refused_are_told(run, tmp_path):
    """They are counted by reason, with what is wrong with the first."""
    (tmp_path / "gaps.csv").write_text(CUSTOMERS.replace("c-005", ""))
    result = run("--from", "gaps.csv", "-P", "churn", "--label", "churned", "--id", "customer")

    assert result.exit_code == 0
    assert "59 of 60 rows looked at again are good by it" in result.stderr
    assert "1 are refused: bad_id; the first: customer is missing" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--from", "customers.csv", "-P", "p"], "which column of customers.csv is to be predicted? Say --label COL"),
        ([*CHURN[:4], "--label", "Churnd"], 'no column "Churnd" in customers.csv; did you mean "churned"?'),
        (["--from", "customer.csv", "-P", "p", "--label", "x"], "there is no such file; did you mean customers.csv?"),
        ([*CHURN, "--id", "zzz"], '--id zzz: no column "zzz" in customers.csv; there are customer, since'),
        ([*CHURN, "--time", "plan"], "--time plan: 'basic' in row 1 of customers.csv is no time"),
        ([*CHURN, "--positive", "yse"], '--positive yse: the label has no value "yse"; did you mean "yes"?'),
        ([*CHURN, "--delimiter", ";"], 'no column "churned"'),
        ([*CHURN, "--no-header"], 'no column "churned" in customers.csv; there are column_1'),
        (["--from", "customers.csv", "-P", "a b", "--label", "churned"], "--pipeline a b: no name of a pipeline"),
        (["--from", "customers.csv", "--label", "churned"], "which pipeline?"),
        (["--from", ".", "-P", "p", "--label", "churned"], "cannot be read: Is a directory"),
        ([*CHURN, "--models-dir", "customers.csv"], "cannot be written: Not a directory; another folder is set with"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_without_a_traceback(run, tmp_path, arguments, text):
    """One line that says what, where and what to do next; exit code 2, and nothing is written."""
    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert not list(tmp_path.glob("models/*"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-P", "p"], "--from FILE, or --from-topic TOPIC"),
        (["--from", "a", "--from-topic", "b", "-P", "p"], "--from FILE, or --from-topic TOPIC"),
        (["--from-topic", "b", "-P", "p", "--no-header"], "go with --from FILE"),
        ([*CHURN, "--classes", "a,b"], "go with --from-topic TOPIC"),
        ([*CHURN, "--task", "ranking"], "multiclass"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(run, arguments, text):
    """With those that would."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert text in result.stderr


def test_a_first_line_that_is_a_row_is_seen(run, tmp_path):
    """Where all names are numbers and one is missed, --no-header is offered; where there is one, --delimiter."""
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    (tmp_path / "blanks.csv").write_text("1 2\n3 4\n")

    assert "say --no-header" in run("--from", "bare.csv", "-P", "p", "--label", "y").stderr
    assert "say --delimiter" in run("--from", "blanks.csv", "-P", "p", "--label", "y").stderr


def test_a_name_that_cannot_be_an_id_is_refused(run, tmp_path):
    """In JSON an id is a text or a whole number, never a list."""
    lines = [json.dumps({"v": [n, n * n], "y": n % 2, "x": n * n % 7}) for n in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    result = run("--from", "a.jsonl", "-P", "p", "--label", "y", "--id", "v")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "--id v: must be a text or a whole number, and is lists" in result.stderr
