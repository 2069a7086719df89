"""`faust-onnx model`: put a model on its topic, put it in force, look at what stands there."""

from __future__ import annotations

from pathlib import Path  # typer reads the annotations
from time import time  # noqa: TID251  # the command line is an edge
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import read_topic, run_client
from app.cli.flags import JsonOption, PipelineOption, chosen_contract, with_settings
from app.cli.output import print_json, print_table, when
from app.cli.releasing import (
    AuthorOption,
    as_builtins,
    builtins_of,
    released_model,
    say_activation,
    say_released,
    this_author,
)
from app.errors import ConfigurationError, Refusal, RejectedRelease
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from app.features import Contract
    from app.registry import Timeline

app = typer.Typer(no_args_is_help=True, help="Publish, activate and look at models.")


@app.command(epilog="Example: faust-onnx model publish model.onnx --pipeline fraud --activate --note 'more rows'")
@with_settings("broker", "pipelines", "models_dir", "max_model_bytes")
def publish(  # noqa: PLR0913  # the flags of a command
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The model, in ONNX.", show_default=False)],
    *,
    pipeline: PipelineOption = None,
    version: Annotated[int | None, typer.Option(min=1, show_default="the next free one")] = None,
    activate: Annotated[bool, typer.Option("--activate", help="And put it in force at once.")] = False,
    note: Annotated[str | None, typer.Option(help="A word on it, kept with it.")] = None,
    author: AuthorOption = None,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:
    """Publish a model as a new version.

    The workers judge it: whether they accepted or refused it, and why, `model list` tells.
    """
    contract = chosen_contract(pipeline, settings)
    if not file.is_file():
        raise ConfigurationError(f"{file}: there is no such file")
    if file.stat().st_size > settings.max_model_bytes:
        raise ConfigurationError(
            f"{file} has {file.stat().st_size} bytes, more than max_model_bytes ({settings.max_model_bytes}); "
            "raise it here and for the workers: FAUST_ONNX_MAX_MODEL_BYTES"
        )
    released = released_model(
        settings,
        contract,
        file.read_bytes(),
        what=file.name,
        author=author,
        version=version,
        note=note,
        activate=activate,
    )
    if as_json:
        print_json(as_builtins(released))
    else:
        say_released(released)


@app.command(epilog="Example: faust-onnx model activate 2 --pipeline fraud --at 2026-01-01T00:00:00Z")
@with_settings("broker", "pipelines", "models_dir")
def activate(  # noqa: PLR0913  # the flags of a command
    version: Annotated[int, typer.Argument(min=1, help="The version to put in force.", show_default=False)],
    *,
    pipeline: PipelineOption = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="From which Kafka timestamp on: epoch seconds or ISO 8601.",
                     show_default="as soon as all can know of it"),
    ] = None,
    author: AuthorOption = None,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:  # fmt: skip
    """Put a published version in force, an older one too."""
    contract = chosen_contract(pipeline, settings)
    name = contract.name
    at_s = _time(at)
    from app.registry import activate_version  # noqa: PLC0415  # not for those who ask for --help

    activation = run_client(
        activate_version(
            settings.broker, contract.topics, name,
            version=version, author=author or this_author(), now_s=time(), at_s=at_s,
        ),
        settings.broker,
    )  # fmt: skip
    if as_json:
        print_json({"pipeline": name, **builtins_of(activation)})
    else:
        say_activation(name, activation)


@app.command("list", epilog="Example: faust-onnx model list --pipeline fraud --json")
@with_settings("broker", "pipelines", "models_dir")
def list_(*, pipeline: PipelineOption = None, as_json: JsonOption = False, settings: Settings) -> None:
    """List versions and activations, and which version is in force now."""
    contract = chosen_contract(pipeline, settings)
    name = contract.name
    overview = run_client(models_overview(settings.broker, contract, name, time()), settings.broker)
    if as_json:
        print_json(overview)
        return
    print_table(
        ["version", "state", "in force", "bytes", "sha256", "created", "author", "note"],
        (
            {
                "version": each["version"],
                "state": each["state"] + (f" ({each['reason']})" if "reason" in each else ""),
                "in force": "now" if overview.get("in_force", {}).get("version") == each["version"] else None,
                "bytes": each["size"],
                "sha256": each["sha256"][:12],
                "created": when(each["created_at"]),
                "author": each.get("author"),
                "note": each.get("note"),
            }
            for each in overview["releases"]
        ),
    )
    if overview["activations"]:
        typer.echo()
        print_table(
            ["sequence", "version", "from", "validity", "author"],
            ({**each, "from": when(each["effective_from_s"])} for each in overview["activations"]),
        )


@app.command(epilog="Example: faust-onnx model show 2 --pipeline fraud")
@with_settings("broker", "pipelines", "models_dir")
def show(
    version: Annotated[int, typer.Argument(min=1, help="The version.", show_default=False)],
    *,
    pipeline: PipelineOption = None,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:
    """Show all that is known of one version."""
    contract = chosen_contract(pipeline, settings)
    name = contract.name
    overview = run_client(models_overview(settings.broker, contract, name, time()), settings.broker)
    release = next((each for each in overview["releases"] if each["version"] == version), None)
    if release is None:
        known = ", ".join(str(each["version"]) for each in overview["releases"]) or "none"
        raise ConfigurationError(f"version {version} of {name} does not exist; published are: {known}")
    release["in_force"] = overview.get("in_force", {}).get("version") == version
    release["activations"] = [each for each in overview["activations"] if each["version"] == version]
    if as_json:
        print_json(release)
        return
    activations = release.pop("activations")
    for field, value in release.items():
        typer.echo(f"{field}: {when(value) if field in ('created_at', 'recorded_at') else value}")
    for each in activations:
        typer.echo(f"activation {each['sequence']}: from {when(each['effective_from_s'])}, {each['validity']}")


async def models_overview(broker: str, contract: Contract, pipeline: str, now_s: float) -> dict[str, Any]:
    """What stands on the models topic, judged as the workers said on model-events they judged it."""
    from app.registry import InForce, activations_of, read_models, releases_of  # noqa: PLC0415  # as above

    timeline = await read_models(broker, contract.topics, pipeline)
    await _apply_verdicts(broker, contract, timeline)
    overview: dict[str, Any] = {
        "pipeline": pipeline,
        "releases": releases_of(timeline),
        "activations": activations_of(timeline),
    }
    answer = timeline.in_force(now_s)
    if isinstance(answer, InForce):
        overview["in_force"] = {"version": answer.version, "sequence": answer.sequence}
    return overview


async def _apply_verdicts(broker: str, contract: Contract, timeline: Timeline) -> None:
    """Mark releases as workers judged them: all come to the same verdict, so the last one told is as good as any."""
    import msgspec  # noqa: PLC0415  # as above

    from app.records import ModelEvent  # noqa: PLC0415

    async for record in read_topic(broker, contract.topics.model_events):
        try:
            event = msgspec.json.decode(record.value or b"", type=ModelEvent)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # somebody else's record: no word of a worker
        if event.version not in timeline.releases:
            continue
        if event.event == "accepted":
            timeline.mark_accepted(event.version)
        elif event.event == "refused" and event.sequence is None and event.reason in set(Refusal):
            timeline.mark_refused(event.version, RejectedRelease(Refusal(event.reason), event.error or ""))


def _time(text: str | None) -> float | None:
    from app.web.times import EXAMPLE, parse_time  # noqa: PLC0415  # as above

    try:
        return None if text is None else parse_time(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--at {text}: must be epoch seconds or ISO 8601, for example {EXAMPLE}") from None
