"""`faust-onnx topics`: the topics of pipelines, made or looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import run_client
from app.cli.flags import JsonOption, with_settings
from app.cli.output import print_json, print_table
from app.errors import ConfigurationError
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from app.features import Contract

app = typer.Typer(no_args_is_help=True, help="Create or list the topics of pipelines.")

PipelinesOption = Annotated[
    list[str] | None,
    typer.Option("--pipeline", "-P", help="A pipeline; may be repeated. Without it, those of the settings."),
]


@app.command(epilog="Example: faust-onnx topics create --pipeline fraud --partitions 8")
@with_settings("broker", "pipelines", "models_dir", "partitions", "replication_factor")
def create(*, pipeline: PipelinesOption = None, as_json: JsonOption = False, settings: Settings) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    rows = run_client(create_topics(settings, contracts_of(settings, pipeline)), settings.broker)
    _print(rows, ["pipeline", "topic", "partitions", "created"], as_json=as_json)


@app.command("list", epilog="Example: faust-onnx topics list --pipeline fraud --json")
@with_settings("broker", "pipelines", "models_dir")
def list_(*, pipeline: PipelinesOption = None, as_json: JsonOption = False, settings: Settings) -> None:
    """List the topics of pipelines and their partitions; exit code 1 when one is missing."""
    rows = run_client(_list(settings, contracts_of(settings, pipeline)), settings.broker)
    _print(rows, ["pipeline", "topic", "partitions", "exists"], as_json=as_json)
    raise typer.Exit(0 if all(row["exists"] for row in rows) else 1)


def contracts_of(settings: Settings, pipelines: list[str] | None) -> dict[str, Contract]:
    """The contracts of the pipelines that were named, or else of those of the settings."""
    from app.features import load_contracts  # noqa: PLC0415  # not for those who ask for --help

    names = pipelines or settings.pipelines
    if not names:
        raise ConfigurationError("which pipelines? The settings name none; for example: --pipeline fraud")
    return load_contracts(settings.models_dir, names)


async def create_topics(settings: Settings, contracts: dict[str, Contract]) -> list[dict[str, Any]]:
    """Make the topics that are missing: for each topic its pipeline, its partitions, and whether it is new."""
    from app.topology.topics import ensure_topics  # noqa: PLC0415  # as above

    rows = []
    for name, contract in contracts.items():
        for topic, partitions, created in await ensure_topics(
            settings.broker,
            contract,
            partitions=settings.partitions,
            replication_factor=settings.replication_factor,
        ):
            rows.append({"pipeline": name, "topic": topic, "partitions": partitions, "created": created})
    return rows


async def _list(settings: Settings, contracts: dict[str, Contract]) -> list[dict[str, Any]]:
    from app.topology.topics import admin_client, partition_counts, wanted_topics  # noqa: PLC0415  # as above

    wanted = {name: [topic.name for topic in wanted_topics(contract)] for name, contract in contracts.items()}
    async with admin_client(settings.broker) as client:
        counts = await partition_counts(client, [topic for topics in wanted.values() for topic in topics])
    return [
        {"pipeline": name, "topic": topic, "partitions": counts.get(topic, 0), "exists": topic in counts}
        for name, topics in wanted.items()
        for topic in topics
    ]


def _print(rows: list[dict[str, Any]], columns: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        print_table(columns, ({**row, columns[-1]: "yes" if row[columns[-1]] else "no"} for row in rows))
