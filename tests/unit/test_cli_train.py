"""`faust-onnx model train` on files: what it writes and says, that it does so again, and what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import river
import sklearn
from typer.testing import CliRunner

from app.cli import app
from app.demo.phishing import CLASSES
from app.features import Contract
from app.scoring import Scorer
from models.fraud import definition as fraud

SKLEARN = Path(sklearn.__file__).parent / "datasets" / "data"
RIVER = Path(river.__file__).parent / "datasets"


def headless(name):
    """A file of scikit-learn without its first line, which is no header."""
    return (SKLEARN / name).read_text().partition("\n")[2]


def unpacked(path):
    """The text in a gzip file."""
    return gzip.decompress(path.read_bytes()).decode()


def diabetes():
    """The two files of scikit-learn as one table."""
    names = ("age", "sex", "bmi", "bp", *(f"s{n}" for n in range(1, 7)))
    rows = unpacked(SKLEARN / "diabetes_data_raw.csv.gz").split("\n")
    targets = unpacked(SKLEARN / "diabetes_target.csv.gz").split("\n")
    lines = [f"{row.replace(' ', ',')},{float(target)}" for row, target in zip(rows, targets, strict=True) if row]
    return "\n".join([",".join([*names, "target"]), *lines])


FILES = {
    "iris": ((SKLEARN / "iris.csv").read_text, "virginica", []),
    "wine": (lambda: headless("wine_data.csv"), "column_14", ["--no-header"]),
    "cancer": (lambda: headless("breast_cancer.csv"), "column_31", ["--no-header"]),
    "digits": (lambda: unpacked(SKLEARN / "digits.csv.gz"), "column_65", ["--no-header"]),
    "diabetes": (diabetes, "target", []),
}  # fmt: skip


@pytest.fixture(name="run")
def _run(bare_folder):  # noqa: ARG001  where it is run
    """Run the command line in an empty folder, without settings of this machine."""
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.fixture(name="sites")
def _sites(run, tmp_path):
    """Train on phishing.csv.gz, for the pipeline `sites` with its drafted contract; the words after the file's."""
    shutil.copy(RIVER / "phishing.csv.gz", tmp_path)
    assert run("init", "--from", "phishing.csv.gz", "-P", "sites", "--label", "is_phishing").exit_code == 0
    return lambda *words: run("model", "train", "phishing.csv.gz", "-P", "sites", *words)


@pytest.mark.parametrize("name", FILES)
def test_real_files_become_models_that_beat_the_baseline(run, tmp_path, name):
    """From the file alone, by the drafted contract: two commands; ONNX and scikit-learn agree on every row."""
    content, label, flags = FILES[name]
    (tmp_path / f"{name}.csv").write_text(content())
    assert run("init", "--from", f"{name}.csv", "-P", name, "--label", label, *flags).exit_code == 0
    few = ["--max-rows", "300"] if name == "digits" else []
    result = run("model", "train", f"{name}.csv", "-P", name, "--json", *flags, *few)

    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    best, baseline = report["candidates"][report["chosen"]], report["baseline"]
    assert best[report["loss"]]["mean"] < 0.75 * baseline[report["loss"]]["mean"]
    assert report["gain"] > report["gain_error"]
    assert report["rows"]["read"] == report["rows"]["usable"] == report["parity"]["rows"]
    assert report["parity"]["max_difference"] < 1e-6
    assert len(report["folds"]) == 5
    model = Path(report["written"]["model"])
    contract = Contract.load(tmp_path / "models" / name / "contract.toml")
    assert (str(model), hashlib.sha256(model.read_bytes()).hexdigest()) == (
        f"models/{name}/releases/1.onnx", report["model"]["sha256"]
    )  # fmt: skip
    assert Scorer.load(model.read_bytes(), contract, version=1, sha256="0" * 64).version == 1
    if few:
        assert any("trained on 300 of 1,797 usable rows" in note for note in report["notes"])


def test_the_card_says_what_a_stranger_must_know(sites, tmp_path):
    """Data, digests, versions, metrics with spread beside the baseline, limits, pictures that are there; no paths."""
    result = sites()
    folder = tmp_path / "models" / "sites"
    card = (folder / "card.md").read_text(encoding="utf-8")
    contract = Contract.load(folder / "contract.toml")

    assert result.exit_code == 0
    content = (tmp_path / "phishing.csv.gz").read_bytes()
    for text in (
        "`phishing.csv.gz`", hashlib.sha256(content).hexdigest(), contract.sha256, contract.model_sha256,
        hashlib.sha256((folder / "releases" / "1.onnx").read_bytes()).hexdigest(),
        f"scikit-learn {sklearn.__version__}",
        "seed 0", "## Limits", "625 of 1,250 rows equal an earlier one", "all 1,250 good rows",
    ):  # fmt: skip
        assert text in card
    for metric in ("ROC AUC", "log loss", "Brier score", "accuracy", "precision", "recall", "F1"):
        assert re.search(rf"^\| {metric} \| 0\.\d+ ± ", card, re.MULTILINE), metric
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", card)
    assert len(pictures) == 4
    assert all((folder / picture).read_text(encoding="utf-8").startswith("<svg") for picture in pictures)
    assert sum((folder / picture).stat().st_size for picture in pictures) < 50_000
    assert str(tmp_path) not in card
    assert "/tmp" not in card  # noqa: S108  # nor any other path of this machine


def test_people_are_told_in_a_table_and_what_to_do_next(sites):
    """Data go to standard output, talk to standard error; --quiet says nothing."""
    result, quiet = sites(), sites("--quiet")

    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[-1] == "baseline (class shares)"
    assert [line.split("  ")[0] for line in lines[1:4]] == ["ROC AUC", "log loss", "Brier score"]
    for text in (
        "5 folds at random, each with the same share of each class",
        "1,250 rows read, 1,250 trained on",
        "scikit-learn and ONNX agree on all 1,250 good rows",
        "faust-onnx model publish models/sites/releases/1.onnx --pipeline sites --activate",
    ):
        assert text in result.stderr
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


def test_the_same_again_is_no_new_release(sites, tmp_path):
    """The same file and seed make the same bytes, of model, card and plots; with more trees' luck another number."""
    folder = tmp_path / "models" / "sites"

    def files():
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    sites("--quiet")
    first = files()
    sites("--quiet")
    assert files() == first

    sites("--quiet", "--max-rows", "800")
    assert set(files()) - set(first) == {"releases/2.onnx"}
    assert "trained on | 800" in files()["card.md"].decode()


def test_a_card_that_somebody_wrote_stays(sites, tmp_path):
    """The new one stands beside it; with --out model and card go where they are told."""
    folder = tmp_path / "models" / "sites"
    (folder / "card.md").write_text("mine")
    sites("--quiet")
    sites("--quiet", "--out", "trial/model.onnx")

    assert (folder / "card.md").read_text() == "mine"
    assert "(card-1-plots/importance.svg)" in (folder / "card-1.md").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "trial").iterdir()} == {"model.onnx", "model.card.md", "model.card-plots"}
    assert [path.name for path in (folder / "releases").iterdir()] == ["1.onnx"]


def test_a_definition_of_ones_own_is_taken(run, tmp_path):
    """That of the pipeline `fraud`, on a file of its fields; what fails in one is told with its line."""
    folder = tmp_path / "models" / "fraud"
    folder.mkdir(parents=True)
    source = Path(fraud.__file__)
    contract = source.with_name("contract.toml").read_text(encoding="utf-8")
    (folder / "contract.toml").write_text(contract.replace('id_field = "id"', 'id_field = "id"\nlabel_field = "what"'))
    shutil.copy(source, folder)
    rows = unpacked(RIVER / "phishing.csv.gz").splitlines()
    names = rows[0].replace("is_phishing", "what").split(",")
    lines = []
    for number, row in enumerate(rows[1:]):
        fields = dict(zip(names, row.split(","), strict=True))
        label = CLASSES[int(fields.pop("what"))]
        numbers = {name: float(value) for name, value in fields.items()}
        lines.append(json.dumps({**numbers, "what": label, "id": f"s{number}", "at": 1.7e9 + number}))
    (tmp_path / "sites.jsonl").write_text("\n".join(lines))
    result = run("model", "train", "sites.jsonl", "-P", "fraud", "--json")

    report = json.loads(result.stdout)
    assert list(report["candidates"]) == ["the address alone", "all features"]
    assert report["chosen"] == "all features"
    assert report["split"] == "5 folds by time, each trained on all that was before it"
    assert "- candidates: those of `definition.py`" in (folder / "card.md").read_text(encoding="utf-8")

    (folder / "definition.py").write_text("x = 1\ny = undefined\n")
    refused = run("model", "train", "sites.jsonl", "-P", "fraud")
    assert refused.exit_code == 2
    assert "models/fraud/definition.py: line 2: NameError: name 'undefined' is not defined" in refused.stderr
    (folder / "definition.py").write_text("def candidates(columns):\n    return 1 / 0\n")
    assert "definition.py: line 2: ZeroDivisionError" in run("model", "train", "sites.jsonl", "-P", "fraud").stderr
    (folder / "definition.py").write_text("def candidates(:\n")
    assert "definition.py: line 1: SyntaxError" in run("model", "train", "sites.jsonl", "-P", "fraud").stderr
    (folder / "definition.py").write_text("def train(rows):\n    return None\n")
    assert "names no candidates" in run("model", "train", "sites.jsonl", "-P", "fraud").stderr


def test_a_model_no_better_than_the_baseline_is_refused(run, tmp_path):
    """The next day's return of real stocks, by the days before: nothing is written; --force writes it, and says so."""
    shutil.copy(RIVER / "sp500.csv.gz", tmp_path)
    run("init", "--from", "sp500.csv.gz", "-P", "stocks", "--label", "next_day_return", "--time", "date")
    folder = tmp_path / "models" / "stocks"
    refused = run("model", "train", "sp500.csv.gz", "-P", "stocks")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "ridge regression, is not better than the baseline (the mean) by more than chance" in refused.stderr
    assert "nothing was written" in refused.stderr
    assert [path.name for path in folder.iterdir()] == ["contract.toml"]
    assert run("model", "train", "sp500.csv.gz", "-P", "stocks", "--force").exit_code == 0
    assert "was written by --force" in (folder / "card.md").read_text(encoding="utf-8").replace("\\", "")


def test_a_model_is_not_lost_where_kafka_is_away(sites, tmp_path):
    """It is written, and how it is published later is said."""
    result = sites("--activate", "--broker", "127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: Kafka at 127.0.0.1:1" in result.stderr
    publish = "faust-onnx model publish models/sites/releases/1.onnx --pipeline sites --activate"
    assert f"models/sites/releases/1.onnx was written; publish it later: {publish}" in result.stderr
    assert (tmp_path / "models" / "sites" / "releases" / "1.onnx").is_file()


def test_the_onnx_file_answers_by_itself(sites, tmp_path):
    """Anybody's onnxruntime runs it on the columns of the file: one matrix in, a plain tensor of probabilities out."""
    sites("--quiet")
    session = onnxruntime.InferenceSession(tmp_path / "models" / "sites" / "releases" / "1.onnx")
    rows = np.loadtxt(tmp_path / "phishing.csv.gz", delimiter=",", skiprows=1, dtype=np.float32)
    [probabilities] = session.run(["probabilities"], {"features": rows[:, :-1]})

    assert probabilities.shape == (1250, 2)
    assert np.mean((probabilities[:, 1] >= 0.5) == rows[:, -1]) > 0.95


CSV = "\n".join(["id,x,y", *(f"e{n},{n % 7},{['no', 'yes'][n % 7 > 3]}" for n in range(80))])
CONTRACT = """
name = "p"
task = "binary"
classes = ["no", "yes"]
id_field = "id"
label_field = "y"
label_horizon_s = 60
features = [{ name = "x" }]
"""


@pytest.mark.parametrize(
    ("change", "words", "text"),
    [
        ({}, ["rows.cs"], "rows.cs: there is no such file; did you mean rows.csv?"),
        ({}, ["rows.csv", "-P", "q"], "models/q/contract.toml"),
        ({'label_field = "y"': ""}, [], "label_field is missing: which column of rows.csv has the label?"),
        ({'"y"': '"why"'}, [], 'label_field, why: column why: no column "why" in rows.csv; there are id, x, y'),
        ({'"x" }': '"X" }'}, [], 'path of X: column X: no column "X" in rows.csv; did you mean "x"?'),
        ({'"x" }': '"x", high = -1 }'}, [], "of its 80 rows can be used: 80 out_of_range; the first: row 1: x: 0.0 is"),
        ({'"no", "yes"': '"maybe", "never"'}, [], "80 bad_label; the first: row 1: label 'no' is no class of"),
        ({'"no", "yes"]': '"no", "yes"]\nthreshold = 2'}, [], "contract.toml: threshold"),
        ({}, ["rows.csv", "--out", "rows.csv/m.onnx"], "cannot be written: Not a directory; another place is named"),
        ({}, ["rows.csv", "--delimiter", "ab"], "--delimiter ab: must be one character"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_without_a_traceback(run, tmp_path, change, words, text):
    """What, where and what to do next; exit code 2, and no release is written."""
    folder = tmp_path / "models" / "p"
    folder.mkdir(parents=True)
    contract = CONTRACT
    for old, new in change.items():
        contract = contract.replace(old, new)
    (folder / "contract.toml").write_text(contract)
    (tmp_path / "rows.csv").write_text(CSV)
    words = words or ["rows.csv"]
    result = run("model", "train", *words, *([] if "-P" in words else ["-P", "p"]))

    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_file_of_few_rows_says_so(run, tmp_path):
    """With what would do."""
    (tmp_path / "models" / "p").mkdir(parents=True)
    (tmp_path / "models" / "p" / "contract.toml").write_text(CONTRACT)
    (tmp_path / "rows.csv").write_text("\n".join(CSV.splitlines()[:9]))
    result = run("model", "train", "rows.csv", "-P", "p")

    assert result.exit_code == 2
    assert "8 rows can be used, which are too few" in result.stderr


def test_missing_packages_are_named(run, monkeypatch):
    """Where only what a worker needs is installed: which they are, and what installs them."""
    monkeypatch.setattr("app.cli.train.find_spec", lambda name: None if name != "onnx" else object())
    result = run("model", "train", "rows.csv", "-P", "p")

    assert result.exit_code == 2
    assert "training needs scikit-learn, skl2onnx, which a worker does not have" in result.stderr
    assert "make setup" in result.stderr
