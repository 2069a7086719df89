"""`faust-onnx doctor`: whether what surrounds the program is as it needs it, and which line mends it if not."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.client import read_topic, run_client
from app.cli.flags import JsonOption, with_settings
from app.cli.output import print_json, printable, say
from app.cli.topics import PipelinesOption, contracts_of
from app.errors import BrokerError
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import ConsumerRecord

    from app.doctor import Finding

_TELL_EVERY_S = 0.5
_COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}


@with_settings("broker", "pipelines", "models_dir")
def doctor(
    *,
    pipeline: PipelinesOption = None,
    records: Annotated[
        int, typer.Option(min=1, metavar="N", help="Newest labels and predictions of each partition to look at.")
    ] = 20_000,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:
    """Check Kafka, topics, partitions, and that labels lie where their predictions do.

    Each check is ok, a warning or a problem, with what to do about it. Nothing is written. Exit code 1 when there is
    a problem.
    """
    from app.doctor import Finding, Level, examine  # noqa: PLC0415  # not for those who ask for --help

    contracts = contracts_of(settings, pipeline)
    progress = Progress()

    def read(topic: str, newest: int) -> AsyncIterator[ConsumerRecord]:
        return progress.watch(topic, read_topic(settings.broker, topic, newest=newest))

    try:
        findings = run_client(examine(settings.broker, contracts, read, n_records=records), settings.broker)
    except BrokerError as error:
        fix = "start it, or name another with --broker or FAUST_ONNX_BROKER; `faust-onnx broker` starts one"
        findings = [Finding("broker", Level.PROBLEM, str(error), fix=fix)]
    finally:
        progress.clear()
    ok = all(finding.level is not Level.PROBLEM for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [finding.as_json() for finding in findings]})
    else:
        for finding in findings:
            print_finding(finding)
    raise typer.Exit(0 if ok else 1)


class Progress:
    """Says on standard error how many records were read: over and over in a line of a terminal, else once a topic."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._told_at_s = time.monotonic()

    async def watch(self, topic: str, records: AsyncIterator[ConsumerRecord]) -> AsyncIterator[ConsumerRecord]:
        """*records* as they are."""
        n = 0
        async for record in records:
            n += 1
            if self._in_place and time.monotonic() - self._told_at_s > _TELL_EVERY_S:
                self._told_at_s = time.monotonic()
                typer.echo(f"\r\x1b[Kreading {topic}: {n:,} records", err=True, nl=False)
            yield record
        if not self._in_place:
            say(f"read {n:,} records of {topic}")

    def clear(self) -> None:
        """Leave the line of the terminal empty."""
        if self._in_place:
            typer.echo("\r\x1b[K", err=True, nl=False)


def print_finding(finding: Finding) -> None:
    """One line for the verdict, then what is behind it, then what to do."""
    level = typer.style(f"{finding.level.value:<8}", fg=_COLOURS[finding.level.value])
    where = f"{finding.pipeline}: " if finding.pipeline else ""
    typer.echo(f"{level} {finding.check:<10} {where}{printable(finding.text)}")
    for cause in finding.details.get("causes", ()):
        typer.echo(f"         {cause['n']:,} x {cause['means']}")
        for each in cause["examples"]:
            key = "no key" if each["label_key"] is None else f"key {each['label_key']!r}"
            typer.echo(
                f"           {printable(each['id'])}: {each['label']} ({printable(key)}), "
                f"its prediction in partition {each['prediction_partition']}"
            )
    for line in (finding.fix or "").splitlines():
        typer.echo(f"         -> {line}")
