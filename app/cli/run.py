"""Commands that start something: the worker, a broker, the demo, the verifier; and `config`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path  # typer reads the annotations
from typing import Annotated

import typer

from app.cli.flags import JsonOption, PipelineOption, chosen_pipeline, with_settings
from app.cli.output import print_json, print_table
from app.errors import ConfigurationError
from app.settings import Settings  # typer reads the annotations


@with_settings()
def worker(
    *,
    ready_file: Annotated[
        Path | None,
        typer.Option("--ready-file", metavar="FILE", help='Gets {"http", "pid"} once the worker is ready.'),
    ] = None,
    settings: Settings,
) -> None:
    """Run a worker until Ctrl-C or SIGTERM.

    It scores the events of its pipelines, joins labels, and answers over HTTP. Several share the partitions.
    """
    if not settings.pipelines:
        raise ConfigurationError("no pipeline is named; for example: --pipelines fraud, or FAUST_ONNX_PIPELINES=fraud")
    from app.worker import run  # noqa: PLC0415  # Faust is not for those who ask for --help

    raise typer.Exit(run(settings, ready_file))


@with_settings()
def config(*, as_json: JsonOption = False, settings: Settings) -> None:
    """Print each setting, its value and where it came from; secrets are masked."""
    shown = settings.shown()
    if as_json:
        print_json({name: {"value": value, "origin": settings.origins[name]} for name, value in shown.items()})
        return
    rows = ({"setting": name, "value": _text(value), "origin": settings.origins[name]} for name, value in shown.items())
    print_table(["setting", "value", "origin"], rows)


@with_settings("state_dir")
def broker(
    *,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where clients find it, on loopback.")] = 9092,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where topics are kept.", show_default="kafka in the state_dir")
    ] = None,
    temporary: Annotated[bool, typer.Option("--temporary", help="Keep nothing.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", metavar="FILE", help="Gets host:port once the broker answers.")
    ] = None,
    settings: Settings,
) -> None:
    """Run a real Apache Kafka on this machine until Ctrl-C; nothing but Python is needed.

    It is one node without replicas, for development: topics live as long as this machine's disk.
    """
    command = [sys.executable, "-m", "app.embedded", "--port", str(port)]
    if not temporary:
        command += ["--data-dir", str(data_dir or settings.state_dir / "kafka")]
    if ready_file is not None:
        command += ["--ready-file", str(ready_file)]
    sys.stdout.flush()
    # In place of this process: signals then reach the one that has to stop the broker in order.
    os.execv(command[0], command)  # noqa: S606  # our own interpreter and our own module


def demo(  # noqa: PLR0913  # the flags of a command
    *,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", show_default="at Ctrl-C")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Events a second; from 1,000 on synthetic ones.", show_default="what one can follow"),
    ] = None,
    labels: Annotated[
        bool | None, typer.Option("--labels/--no-labels", help="Send labels.", show_default="below 1,000 a second")
    ] = None,
    verdict: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Let the verifier judge.", show_default="below 1,000 a second"),
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the last view as SVG.")] = None,
) -> None:
    """Show the whole loop on real data: events, predictions, late labels, accuracy, and a better model on the way.

    Starts a Kafka of its own unless FAUST_ONNX_BROKER names one, and leaves nothing behind.
    """
    from app.demo import main  # noqa: PLC0415  # what it needs is not installed beside a worker

    raise typer.Exit(main(seconds, json_path, rate, labels=labels, verify=verdict, picture_path=picture))


@with_settings("broker", "pipelines", "models_dir", "app_id", "max_record_bytes")
def verify(context: typer.Context, *, pipeline: PipelineOption = None, settings: Settings) -> None:
    """Judge a pipeline by what stands on its topics, by a program that shares no code with the worker.

    Further flags are handed on: see `python -m verify --help`. Exit code 0: all holds; 1: something does not; 2: it
    could not be judged.
    """
    command = [
        *(sys.executable, "-m", "verify"),
        *("--broker", settings.broker),
        *("--pipeline", chosen_pipeline(pipeline, settings)),
        *("--models-dir", str(settings.models_dir)),
        *("--app-id", settings.app_id),
        *("--max-record-bytes", str(settings.max_record_bytes)),
        *context.args,
    ]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603  # our own module, no shell


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
