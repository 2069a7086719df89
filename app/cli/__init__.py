"""`faust-onnx`: the command line. What a user did wrong is told in one line, never as a traceback.

Exit codes: 0 done; 1 it failed; 2 a flag, setting or contract is wrong; 130 Ctrl-C.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from app.cli import dead_letters, doctor, init, models, replay, run, topics, train, up
from app.errors import ConfigurationError, FaustOnnxError

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Commands whose foreseen faults become one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """The command's result; raises Exit(1) or Exit(2) after telling what went wrong."""
        try:
            return super().invoke(ctx)
        except FaustOnnxError as error:
            for line in str(error).splitlines():
                typer.echo(f"error: {line}" if not line.startswith(" ") else line, err=True)
            raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Machine-learning models in a Kafka stream: score events, join labels, watch accuracy.",
    epilog="First steps: faust-onnx demo. Settings: docs/settings.md, or faust-onnx config.",
)
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(epilog="Example: faust-onnx demo --seconds 60 --json summary.json")(run.demo)
app.command(epilog="Example: faust-onnx init --from customers.csv --pipeline churn --label Churn")(init.init)
app.command(epilog="Example: faust-onnx worker --broker kafka:9092 --pipelines fraud --http 127.0.0.1:0")(run.worker)
app.command(epilog="Example: faust-onnx replay customers.csv --pipeline churn --rate 100 --until-joined")(replay.replay)
app.command(epilog="Example: faust-onnx doctor --pipeline fraud --json")(doctor.doctor)
app.command(epilog="Example: FAUST_ONNX_HTTP=0.0.0.0:80 faust-onnx config")(run.config)
app.add_typer(topics.app, name="topics")
app.add_typer(models.app, name="model")
models.app.command(epilog="Example: faust-onnx model train customers.csv --pipeline churn --publish")(train.train)
app.add_typer(dead_letters.app, name="dead-letters")
app.command(
    context_settings=_PASS_ON, epilog="Example: faust-onnx verify --pipeline fraud --no-faults --json report.json"
)(run.verify)
app.command(epilog="Example: faust-onnx broker --port 9092")(run.broker)
app.command(epilog="Example: faust-onnx up --pipeline churn")(up.up)


def main() -> None:
    """Run the command of this process' arguments and exit."""
    app(prog_name="faust-onnx")
