"""`faust-onnx model train`: from a file of labelled rows to a released model."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.definition import own_candidates
from app.cli.files import write_whole
from app.cli.flags import JsonOption, PipelineOption, QuietOption, chosen_contract, with_settings
from app.cli.progress import share_bar
from app.cli.releasing import AuthorOption, released_model
from app.errors import BrokerError, ConfigurationError
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from app.features import Contract
    from app.registry import Published
    from app.tables import Table
    from app.training.dataset import DatasetReader
    from app.training.report import Report
    from app.training.train import Finished, Training

PACKAGES = {"sklearn": "scikit-learn", "skl2onnx": "skl2onnx", "onnx": "onnx"}
"""What training imports and a worker does not have -> what installs it."""
RANDOM_SEED_MAX = 2**32 - 1
_TABLE = "The file"
_RELEASE = "The release"


@with_settings("broker", "pipelines", "models_dir", "max_model_bytes")
def train(  # noqa: PLR0913  # the flags of a command
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet or JSON lines; may be gzip.", show_default=False)
    ],
    *,
    pipeline: PipelineOption = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish it as the next version.", rich_help_panel=_RELEASE)
    ] = False,
    activate: Annotated[
        bool, typer.Option("--activate", help="Publish it and put it in force.", rich_help_panel=_RELEASE)
    ] = False,
    note: Annotated[
        str | None, typer.Option(help="A word on it, kept with it.", show_default="made up", rich_help_panel=_RELEASE)
    ] = None,
    author: AuthorOption = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="D", help='One character, or "tab".', show_default="looked for", rich_help_panel=_TABLE),
    ] = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether the first line has the names.", rich_help_panel=_TABLE)
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the model goes.", show_default="models/PIPELINE/releases/N.onnx"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=RANDOM_SEED_MAX, metavar="N", help="For all that is random.")] = 0,
    max_rows: Annotated[
        int | None,
        typer.Option(min=100, metavar="N", help="Train on no more rows, drawn at random.", show_default="1,000,000"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write a model that is no better than the baseline.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    settings: Settings,
) -> None:
    """Train a model on a file of labelled rows, and write it as ONNX with a model card.

    Rows become events by the contract, as the worker would decode them. A linear model and boosted trees (or what
    models/PIPELINE/definition.py has) are judged on rows that they were not trained on, beside a trivial baseline; the
    best is compared with its ONNX form on every row of the file.
    """
    _check_packages()
    contract = chosen_contract(pipeline, settings)
    if contract.label_path is None:
        raise ConfigurationError(
            f"{settings.models_dir / contract.name / 'contract.toml'}: label_field is missing: which column of {file} "
            'has the label? For example: label_field = "churned"'
        )
    from app.tables import open_table  # noqa: PLC0415  # not for those who ask for --help

    definition = settings.models_dir / contract.name / "definition.py"
    define = own_candidates(definition)
    table = open_table(file, delimiter=delimiter, has_header=header)
    training = _read(contract, file, table, define, seed=seed, max_rows=max_rows, quiet=quiet)
    finished, report = _trained(training, file, table, force=force, quiet=quiet)
    if define is None and definition.is_file():
        note_ = "definition.py names no candidates, so the built-in ones were taken (docs/training.md)"
        report = report._replace(notes=(note_, *report.notes))
    target, card = _places(contract, settings.models_dir, finished.model, out)
    _write(training, report, finished.model, target, card)
    released: Published | None = None
    if publish or activate:
        try:
            released = released_model(
                settings, contract, finished.model,
                what=target.name, author=author, note=note or _note(report), activate=activate, quiet=quiet,
            )  # fmt: skip
        except (BrokerError, ConfigurationError) as error:
            # The training is not lost with the connection.
            later = f"faust-onnx model publish {target} --pipeline {contract.name}{' --activate' * activate}"
            raise type(error)(f"{error}\n  {target} was written; publish it later: {later}") from error
    if not quiet:
        from app.cli.train_report import print_report  # noqa: PLC0415  # not for those who ask for --help

        print_report(report, target, card, released, as_json=as_json)


def _check_packages() -> None:
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise ConfigurationError(
            f"training needs {', '.join(missing)}, which a worker does not have and which is not installed here; "
            "install what requirements/dev.txt names (`make setup`)"
        )


def _read(  # noqa: PLR0913  # what is read, and how
    contract: Contract, file: Path, table: Table, define: Any, *, seed: int, max_rows: int | None, quiet: bool
) -> Training:
    """The rows of *file*, ready to be learnt from."""
    from app.training.dataset import DatasetReader  # noqa: PLC0415
    from app.training.layout import Layout  # noqa: PLC0415
    from app.training.train import Training  # noqa: PLC0415

    layout = Layout(contract)
    reader = DatasetReader(layout, is_text=table.is_text, n_max=max_rows, seed=seed)
    columns: set[tuple[str, ...]] = set()
    with share_bar(f"reading {file.name}", quiet=quiet) as show:
        for batch in table.batches():
            columns.update(batch.columns)
            reader.add(batch)
            show(batch.share_read)
    if not reader.counts.n_usable:
        raise _no_rows(contract, file, reader, columns)
    return Training(layout, reader.dataset(), reader.counts, define, seed=seed)


def _no_rows(
    contract: Contract, file: Path, reader: DatasetReader, columns: set[tuple[str, ...]]
) -> ConfigurationError:
    """Why nothing in *file* can be learnt from; a column under another name is the usual reason."""
    from app.drafting.choices import find_column  # noqa: PLC0415  # as above

    counts = reader.counts
    if not counts.n_rows:
        return ConfigurationError(f"{file}: has no rows; a model is trained on rows")
    assert contract.label_path is not None  # noqa: S101  # seen before
    wanted = {f"label_field, {'.'.join(contract.label_path)}": contract.label_path}
    wanted |= {f"path of {feature.name}": feature.path for feature in contract.features if feature.missing == "reject"}
    for what, path in wanted.items():
        if path not in columns:
            try:
                find_column(f"the contract's {what}: column", ".".join(path), sorted(columns), str(file))
            except ConfigurationError as error:
                return error
    reasons = ", ".join(f"{n_rows:,} {reason}" for reason, n_rows in counts.refused.most_common())
    unlabelled = f"{counts.n_unlabelled:,} without a label" if counts.n_unlabelled else ""
    told = f"; the first: {counts.first_refused}" if counts.first_refused else ""
    why = ", ".join(filter(None, [reasons, unlabelled]))
    return ConfigurationError(
        f"{file}: none of its {counts.n_rows:,} rows can be used: {why}{told}; "
        f"mend the file, or models/{contract.name}/contract.toml"
    )


def _trained(training: Training, file: Path, table: Table, *, force: bool, quiet: bool) -> tuple[Finished, Report]:
    from app.training.report import Source  # noqa: PLC0415  # as above
    from app.training.train import not_better  # noqa: PLC0415

    with share_bar("cross-validation", quiet=quiet) as show:
        comparison = training.judge(show)
    if not comparison.is_better and not force:
        from app.training.metrics import LOSS  # noqa: PLC0415

        raise not_better(comparison, LOSS[training.contract.task])
    finished = training.finish(comparison)
    with share_bar("comparing with ONNX", quiet=quiet) as show:
        parity = training.compare_onnx(finished, table.batches(), is_text=table.is_text, progress=show)
    with file.open("rb") as content:
        source = Source(file.name, hashlib.file_digest(content, "sha256").hexdigest(), file.stat().st_size)
    with share_bar("importance of features", quiet=quiet) as show:
        return finished, training.report(comparison, finished, parity, source, show)


def _places(contract: Contract, models_dir: Path, model: bytes, out: Path | None) -> tuple[Path, Path]:
    """Where the model goes, and where its card."""
    from app.training.card import MARK  # noqa: PLC0415  # as above

    if out is not None:
        return out, out.with_name(f"{out.stem}.card.md")
    releases = models_dir / contract.name / "releases"
    numbered = sorted((int(path.stem), path) for path in releases.glob("*.onnx") if path.stem.isdecimal())
    # The same rows, seed and versions make the same model: that is no new release.
    same = [path for _, path in numbered if path.stat().st_size == len(model) and path.read_bytes() == model]
    target = same[-1] if same else releases / f"{numbered[-1][0] + 1 if numbered else 1}.onnx"
    card = models_dir / contract.name / "card.md"
    if card.is_file() and MARK not in card.read_text(encoding="utf-8", errors="replace"):
        card = card.with_name(f"card-{target.stem}.md")  # the other was written by somebody, and stays
    return target, card


def _write(training: Training, report: Report, model: bytes, target: Path, card: Path) -> None:
    """Plots, then the card that shows them, then the model: where there is a model, there is its card."""
    from app.training.card import card_text  # noqa: PLC0415  # as above

    hint = "another place is named with --out, or with --models-dir"
    plots = training.plots(report)
    folder = card.with_name(f"{card.stem}-plots")
    for name, svg in plots.items():
        write_whole(folder / f"{name}.svg", svg.encode(), hint=hint)
    text = card_text(report, plots, model=target.name, folder=folder.name)
    write_whole(card, text.encode(), hint=hint)
    write_whole(target, model, hint=hint)


def _note(report: Report) -> str:
    """What is kept with the release unless a note is given."""
    from app.training.metrics import NAMES  # noqa: PLC0415  # as above
    from app.training.report import shown  # noqa: PLC0415

    best, baseline, loss = report.comparison.best, report.comparison.baseline, report.loss
    worth: Any = f"{NAMES[loss]} {shown(best, loss)}, baseline {shown(baseline, loss)}"
    return f"{best.name} on {report.n_trained:,} rows of {report.source.name}: {worth}"
