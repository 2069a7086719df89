"""`faust-onnx init`: a contract for data that one has, drafted from a file or from a topic."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.client import run_client
from app.cli.files import write_whole
from app.cli.flags import JsonOption, PipelineOption, QuietOption, chosen_pipeline, with_settings
from app.cli.progress import share_bar
from app.errors import ConfigurationError
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.cli.topic_sample import TopicSample
    from app.drafting import Choices, Draft, TableTally
    from app.drafting.check import Check
    from app.features import Contract
    from app.features.contract import FieldPath

_FILE = "The file and its columns"
_TOPIC = "The topic and its fields"


@with_settings("broker", "pipelines", "models_dir")
def init(  # noqa: PLR0913  # the flags of a command
    *,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="CSV, TSV, Parquet or JSON lines; may be gzip.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--from-topic", metavar="TOPIC", help="A topic of JSON objects, in place of a file.")
    ] = None,
    pipeline: PipelineOption = None,
    label: Annotated[str | None, typer.Option(metavar="COL", help="The column that is to be predicted.")] = None,
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None, typer.Option(help="The task.", show_default="inferred")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="V", help="The positive class of a binary task.", show_default="guessed")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COL", help="The id by which labels name events.")] = None,
    key: Annotated[str | None, typer.Option(metavar="COL", help="The key of the Kafka record.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COL", help="The time of the event.")] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="D", help='One character, or "tab".', show_default="looked for", rich_help_panel=_FILE),
    ] = None,
    header: Annotated[
        bool,
        typer.Option("--header/--no-header", help="Whether the first line has the names.", rich_help_panel=_FILE),
    ] = True,
    labels_topic: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="The topic of the labels, if it exists.", rich_help_panel=_TOPIC),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="The classes, if there are no labels yet.", rich_help_panel=_TOPIC),
    ] = None,
    records: Annotated[
        int, typer.Option(min=1, metavar="N", help="Records to look at.", rich_help_panel=_TOPIC)
    ] = 10_000,
    force: Annotated[bool, typer.Option("--force", help="Replace a contract that is there.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    settings: Settings,
) -> None:
    """Write the contract of a new pipeline, models/PIPELINE/contract.toml, by looking at the data.

    Types, ranges, categories and what a missing value means are inferred, and each is explained in the file: look
    through it and change what you know better. Nothing is sent anywhere.
    """
    if (file is None) == (topic is None):
        raise typer.BadParameter("say where the data are: --from FILE, or --from-topic TOPIC")
    if file is None and (delimiter is not None or not header):
        raise typer.BadParameter("--delimiter and --no-header go with --from FILE")
    if topic is None and (labels_topic is not None or classes is not None):
        raise typer.BadParameter("--labels-topic and --classes go with --from-topic TOPIC")
    from app.cli.init_report import print_report  # noqa: PLC0415  # not for those who ask for --help
    from app.drafting import Choices, contract_text  # noqa: PLC0415

    name = chosen_pipeline(pipeline, settings)
    target = _free_place(name, settings.models_dir, force=force)
    said = {"--label": label, "--id": id_, "--key": key, "--time": time}
    choices = Choices(
        name,
        task=task,
        positive=positive,
        classes=None if classes is None else tuple(classes.split(",")),
        topic=topic,
        labels_topic=labels_topic,
    )
    if topic is not None:
        sample = run_client(_sample(settings.broker, topic, records, quiet=quiet), settings.broker)
        draft = _from_topic(choices, said, sample, settings, records, quiet=quiet)
        contract, text = _loaded(draft, contract_text(draft), target)
        check = _checked_records(contract, sample)
    else:
        assert file is not None  # noqa: S101  # one of the two is given
        draft, rows = _from_file(choices, said, file, delimiter, has_header=header, quiet=quiet)
        contract, text = _loaded(draft, contract_text(draft), target)
        check = _checked_rows(contract, rows)
    write_whole(target, text.encode(), hint="another folder is set with --models-dir")
    if not quiet:
        print_report(draft, check, target, as_json=as_json)


def _free_place(pipeline: str, models_dir: Path, *, force: bool) -> Path:
    from app.features.contract_file import PIPELINE_NAME  # noqa: PLC0415  # as above

    if not PIPELINE_NAME.fullmatch(pipeline):
        raise ConfigurationError(
            f'--pipeline {pipeline}: no name of a pipeline: up to 100 letters, digits, "-" and "_", since topics begin '
            "with it; for example --pipeline fraud"
        )
    target = models_dir / pipeline / "contract.toml"
    if target.exists() and not force:
        raise ConfigurationError(f"{target}: exists already; --force replaces it, --pipeline names another pipeline")
    return target


def _from_file(  # noqa: PLR0913  # what was said of a file
    choices: Choices, said: dict[str, str | None], file: Path, delimiter: str | None, *, has_header: bool, quiet: bool
) -> tuple[Draft, TableTally]:
    from app.drafting import TableTally, draft_contract  # noqa: PLC0415  # not for those who ask for --help
    from app.tables import open_table  # noqa: PLC0415

    table = open_table(file, delimiter=delimiter, has_header=has_header)
    batches = table.batches()
    first = next(batches, None)
    if first is None:
        raise ConfigurationError(f"{file}: has no rows; a contract is inferred from rows")
    if said["--label"] is None:
        names = ", ".join(".".join(path) for path in list(first.columns)[:20])
        raise ConfigurationError(f"which column of {file} is to be predicted? Say --label COL; there are {names}")
    choices = _with_columns(choices, said, first.columns, str(file))
    rows = TableTally(is_text=table.is_text, label=choices.label)
    with share_bar(file.name, quiet=quiet) as show:
        for batch in chain([first], batches):
            rows.add(batch)
            show(batch.share_read)
    return draft_contract(choices, rows, where=file.name), rows


def _from_topic(  # noqa: PLR0913  # what was said of a topic
    choices: Choices,
    said: dict[str, str | None],
    sample: TopicSample,
    settings: Settings,
    n_records: int,
    *,
    quiet: bool,
) -> Draft:
    from app.cli.topic_sample import tallied  # noqa: PLC0415  # as above
    from app.drafting import draft_contract  # noqa: PLC0415

    batch = sample.batch()
    choices = _with_columns(choices, said, batch.columns, f"topic {sample.topic}")
    labels = None
    if choices.labels_topic is not None:
        sampled = run_client(_sample(settings.broker, choices.labels_topic, n_records, quiet=quiet), settings.broker)
        labels = tallied(sampled.batch(), None)
    rows = tallied(batch, choices.label)
    draft = draft_contract(choices, rows, where=f"topic {sample.topic}", labels=labels)
    return draft.noting(sample.notes(choices.key))


async def _sample(broker: str, topic: str, n_records: int, *, quiet: bool) -> TopicSample:
    from app.cli.topic_sample import sampled_topic  # noqa: PLC0415  # as above

    with share_bar(topic, quiet=quiet) as show:
        return await sampled_topic(broker, topic, n_records, show)


def _with_columns(
    choices: Choices, said: dict[str, str | None], columns: Mapping[FieldPath, object], where: str
) -> Choices:
    from app.drafting.choices import find_column  # noqa: PLC0415  # as above

    found = {flag: None if name is None else find_column(flag, name, columns, where) for flag, name in said.items()}
    return choices._replace(label=found["--label"], id=found["--id"], key=found["--key"], time=found["--time"])


def _loaded(draft: Draft, text: str, target: Path) -> tuple[Contract, str]:
    """The contract that *text* is, read as a worker will read it."""
    from app.features import Contract  # noqa: PLC0415  # as above

    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "contract.toml"
        trial.write_text(text, encoding="utf-8")
        try:
            return Contract.load(trial), text
        except ConfigurationError as error:
            said = str(error).replace(str(trial), f"the contract for {draft.where}")
            raise ConfigurationError(f"{said}\n  nothing was written to {target}") from None


def _checked_rows(contract: Contract, rows: TableTally) -> Check:
    from app.drafting.check import checked  # noqa: PLC0415  # as above

    return checked(contract, rows.sample(), is_text=rows.is_text)


def _checked_records(contract: Contract, sample: TopicSample) -> Check:
    from app.drafting.check import checked_records  # noqa: PLC0415  # as above

    return checked_records(contract, sample.records)
