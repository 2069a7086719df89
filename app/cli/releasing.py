"""Putting a model on its topic from the command line: who does it, how far it is, what came of it."""

from __future__ import annotations

import getpass
import socket
import sys
from contextlib import contextmanager
from time import time  # noqa: TID251  # the command line is an edge
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import run_client
from app.cli.output import say, when

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.features import Contract
    from app.records import Activation
    from app.registry import Published
    from app.settings import Settings

AuthorOption = Annotated[
    str | None, typer.Option("--author", help="Who does this; shown by list.", show_default="user@host")
]


def released_model(  # noqa: PLR0913  # a release has that many facts
    settings: Settings,
    contract: Contract,
    model: bytes,
    *,
    what: str,
    author: str | None,
    note: str | None,
    activate: bool,
    version: int | None = None,
    quiet: bool = False,
) -> Published:
    """*model* as a release of the contract's pipeline; *what* is its name on the bar."""
    from app.registry import publish  # noqa: PLC0415  # not for those who ask for --help

    with _progress(what, quiet=quiet) as progress:
        return run_client(
            publish(
                settings.broker, contract.topics, contract.name, model,
                author=author or this_author(), now_s=time(), version=version, note=note,
                contract_sha256=contract.model_sha256, activate=activate, max_model_bytes=settings.max_model_bytes,
                progress=progress,
            ),
            settings.broker,
        )  # fmt: skip


def say_released(released: Published) -> None:
    """What was published, and what is to be done for it to serve."""
    manifest = released.manifest
    typer.echo(f"{manifest.pipeline} version {manifest.version}: {manifest.size} bytes, sha256 {manifest.sha256}")
    if released.activation:
        say_activation(manifest.pipeline, released.activation)
    else:
        say(f"not in force yet: faust-onnx model activate {manifest.version} --pipeline {manifest.pipeline}")


def say_activation(pipeline: str, activation: Activation) -> None:
    """From when on a version is in force."""
    typer.echo(
        f"{pipeline} version {activation.version} in force from {when(activation.effective_from_s)} "
        f"(activation {activation.sequence})"
    )


def as_builtins(released: Published) -> dict[str, Any]:
    """The manifest, and the activation in it if there is one, for JSON."""
    activation = {"activation": builtins_of(released.activation)} if released.activation else {}
    return {**builtins_of(released.manifest), **activation}


def builtins_of(record: Any) -> dict[str, Any]:
    """A record as JSON has it."""
    import msgspec  # noqa: PLC0415  # not for those who ask for --help

    values: dict[str, Any] = msgspec.to_builtins(record)
    return values


def this_author() -> str:
    """Whoever runs this, and where."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container may run as a user without a name
        return socket.gethostname()


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error while bytes travel, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # not for those who ask for --help
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name)
        yield lambda written, total: bar.update(task, completed=written, total=total)
