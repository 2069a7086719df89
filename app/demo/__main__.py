"""`python -m app.demo`: the demo without the rest of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.demo import main
from app.errors import ConfigurationError


def demo(  # noqa: PLR0913 - one parameter for each flag
    *,
    seconds: Annotated[float | None, typer.Option(help="Send records for so long; without it until Ctrl-C.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the summary to this file.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Feature records a second; from 1000 on in batches, to see what it carries."),
    ] = None,
    labels: Annotated[
        bool | None, typer.Option("--labels/--no-labels", help="Send labels; by default unless the rate is high.")
    ] = None,
    verify: Annotated[
        bool | None, typer.Option("--verify/--no-verify", help="Judge the run; by default unless the rate is high.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Save the last view as an SVG file.")] = None,
) -> None:
    """Stream real data through a real Kafka: predictions, labels, accuracy, and a better model while events flow."""
    try:
        code = main(seconds, json, rate, labels=labels, verify=verify, picture_path=picture)
    except ConfigurationError as error:
        typer.echo(f"error: {error}", err=True)
        code = 2
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(demo)
