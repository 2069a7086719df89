"""Flags for settings: each command takes those that matter to it, in one form everywhere."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from pydantic import ByteSize

from app.errors import ConfigurationError
from app.settings import CONFIG_FILE, Settings, flag_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.features import Contract

_METAVARS: dict[Any, str] = {int: "N", float: "SECONDS", ByteSize: "SIZE", Path: "DIR"}
PANEL = "Settings (see docs/settings.md)"

PipelineOption = Annotated[
    str | None,
    typer.Option("--pipeline", "-P", help="The pipeline; may be left out where the settings name one alone."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but what is wrong.")]


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command a flag for each setting in *names* (none: all of them) and `--config`.

    The command gets them loaded, as its keyword argument `settings`.
    """
    chosen = names or tuple(Settings.model_fields)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            flags = {name: given.pop(name) for name in chosen}
            command(settings=Settings.load(flags, config_file=given.pop("config")), **given)

        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name])
            for parameter in inspect.signature(command).parameters.values()
            if parameter.name != "settings"
        ]
        flags = [_flag("config", Path | None, _config_option()), *(_setting(name) for name in chosen)]
        signature = inspect.Signature([*own, *flags], return_annotation=None)
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        wrapper.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
        return wrapper

    return decorate


def chosen_pipeline(pipeline: str | None, settings: Settings) -> str:
    """The pipeline of a command: the one named, or the only one of the settings."""
    if pipeline is not None:
        return pipeline
    if len(settings.pipelines) == 1:
        return settings.pipelines[0]
    named = ", ".join(settings.pipelines) or "none"
    raise ConfigurationError(f"which pipeline? The settings name {named}; for example: --pipeline fraud")


def chosen_contract(pipeline: str | None, settings: Settings) -> Contract:
    """The contract of the pipeline of a command."""
    from app.features import load_contracts  # noqa: PLC0415  # not for those who ask for --help

    name = chosen_pipeline(pipeline, settings)
    return load_contracts(settings.models_dir, [name])[name]


def _flag(name: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )  # fmt: skip


def _config_option() -> Any:
    return typer.Option("--config", metavar="FILE", help=f"Settings in TOML, instead of ./{CONFIG_FILE}.")


def _setting(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    shown = str(field.default) if field.default != () else False
    if field.annotation is bool:
        flags = f"{flag_of(name)}/--no-{name.replace('_', '-')}"
        option = typer.Option(flags, help=field.description, show_default=shown, rich_help_panel=PANEL)
        return _flag(name, bool | None, option)
    # Text, whatever its kind: the settings judge it, so that a wrong value reads the same from every source.
    kind = _METAVARS.get(field.annotation, "VALUE")
    option = typer.Option(
        flag_of(name), metavar=kind, help=field.description, show_default=shown, rich_help_panel=PANEL
    )
    return _flag(name, str | None, option)
