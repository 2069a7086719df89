"""`faust-onnx up`: all that a pipeline needs around it while one develops, which is Kafka and topics."""

from __future__ import annotations

from pathlib import Path  # typer reads the annotations
from typing import Annotated

import typer

from app.cli.client import run_client
from app.cli.flags import QuietOption, with_settings
from app.cli.output import say
from app.cli.topics import PipelinesOption, contracts_of, create_topics
from app.errors import ConfigurationError
from app.settings import Settings  # typer reads the annotations

_DEFAULT_PORT = 9092


@with_settings("models_dir", "partitions", "state_dir")
def up(  # noqa: PLR0913  # the flags of a command
    *,
    pipeline: PipelinesOption = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where clients find it, on loopback.")] = _DEFAULT_PORT,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where topics are kept.", show_default="kafka in the state_dir")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", metavar="FILE", help="Gets host:port once all is there.")
    ] = None,
    quiet: QuietOption = False,
    settings: Settings,
) -> None:
    """Run a real Kafka for development until Ctrl-C, and make the topics of the pipelines that are named.

    It listens on this machine alone, at the address that all commands take if none is set. Topics are kept and are
    there again the next time. `faust-onnx broker` is the same without a word.
    """
    from app.embedded.foreground import run_until_stopped  # noqa: PLC0415  # not for those who ask for --help
    from app.embedded.probe import answers, is_free  # noqa: PLC0415

    contracts = contracts_of(settings, pipeline) if pipeline else {}
    if not is_free(port):
        what = "a Kafka answers there already: use it, or stop it first" if answers(port) else "another program has it"
        raise ConfigurationError(f"--port {port}: {what}; another port: faust-onnx up --port {port + 1}")
    folder = data_dir or settings.state_dir / "kafka"

    def tell(bootstrap: str) -> None:
        there = settings.model_copy(update={"broker": bootstrap})
        made = run_client(create_topics(there, contracts), bootstrap) if contracts else []
        if quiet:
            return
        typer.echo(bootstrap)
        say(f"Kafka is up; topics are kept in {folder}; Ctrl-C stops it")
        if contracts:
            n_new = sum(row["created"] for row in made)
            say(f"topics of {', '.join(contracts)}: {n_new} made, {len(made) - n_new} were there")
        if port != _DEFAULT_PORT:
            say(f"in other terminals: export FAUST_ONNX_BROKER={bootstrap}")

    run_until_stopped(folder, port, ready_file, tell)
