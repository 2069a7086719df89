"""`faust-onnx replay`: the rows of a file as events and, later, labels; and how well the model did on them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import replace
from pathlib import Path  # typer reads the annotations
from time import time  # noqa: TID251  # the command line is an edge
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.client import run_client
from app.cli.flags import JsonOption, PipelineOption, QuietOption, chosen_pipeline, with_settings
from app.cli.output import print_json, say
from app.cli.progress import standing_bar
from app.errors import BrokerError, ConfigurationError
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.features import Contract
    from app.replay import Outcome, Plan, Replay, Surroundings
    from app.tables import Table

_LEAST = 1e-6
_CTRL_C = 130


@with_settings("broker", "pipelines", "models_dir", "app_id", "partitions", "replication_factor", "create_topics")
def replay(  # noqa: PLR0913  # the flags of a command
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet or JSON lines; may be gzip.", show_default=False)
    ],
    *,
    pipeline: PipelineOption = None,
    rate: Annotated[
        float | None,
        typer.Option(min=_LEAST, metavar="R", help="Rows a second.", show_default="as fast as they are taken"),
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=_LEAST, metavar="X", help="X times as fast as the times in the file.")
    ] = None,
    keep_times: Annotated[
        bool,
        typer.Option("--keep-times/--start-at-now", help="Keep the file's event times, or have events happen now."),
    ] = False,
    label_delay: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="From an event to its label.")] = 0.0,
    until_joined: Annotated[
        bool, typer.Option("--until-joined", help="Wait for every prediction and every label to be counted.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Give up when nothing has moved for so long.")
    ] = 60.0,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The first N rows only.")] = None,
    fresh_ids: Annotated[
        bool, typer.Option("--fresh-ids", help="Append to each id what makes it new, to replay a file again.")
    ] = False,
    delimiter: Annotated[
        str | None, typer.Option(metavar="D", help='One character, or "tab".', show_default="looked for")
    ] = None,
    header: Annotated[bool, typer.Option("--header/--no-header", help="Whether the first line has the names.")] = True,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    settings: Settings,
) -> None:
    """Stream the rows of a file as events and then, after a delay, as labels, and print how good the predictions were.

    Events happen as they are sent, unless --keep-times. Rows that the contract refuses are sent too: the workers make
    dead letters of them, which are counted. Exit code 1: with --until-joined, not all came back; 130: Ctrl-C.
    """
    from app.cli.replay_report import print_outcome  # noqa: PLC0415  # not for those who ask for --help
    from app.features import load_contracts  # noqa: PLC0415
    from app.replay import Plan  # noqa: PLC0415
    from app.replay.columns import check_columns, label_problem  # noqa: PLC0415
    from app.tables import open_table  # noqa: PLC0415

    name = chosen_pipeline(pipeline, settings)
    contract = load_contracts(settings.models_dir, [name])[name]
    plan = Plan(rate, speed, keep_times, label_delay, limit, _suffix() if fresh_ids else "")
    plan.check(contract)
    table = open_table(file, delimiter=delimiter, has_header=header)
    first = next(table.batches(), None)
    if first is None:
        raise ConfigurationError(f"{file}: has no rows; an event is made of each row")
    check_columns(contract, first.columns, str(file), needs_times=keep_times or speed is not None)
    if not quiet:
        _warn(contract, plan, label_problem(contract, first.columns, str(file)))
    outcome = run_client(
        _replay(settings, contract, table, plan, until_joined=until_joined, silence_s=timeout, quiet=quiet),
        settings.broker,
    )
    if as_json:
        print_json(outcome.as_json(contract))
    elif not quiet:
        print_outcome(outcome, contract)
    if outcome.was_stopped:
        raise typer.Exit(_CTRL_C)
    if until_joined and not outcome.is_complete:
        missing = f"{outcome.open_events:,} events without an outcome" if outcome.open_events else "labels not counted"
        raise BrokerError("\n".join([f"{outcome.problem}: {missing}", *(f"  -> {each}" for each in outcome.advice)]))


async def _replay(  # noqa: PLR0913  # what is replayed, and how
    settings: Settings,
    contract: Contract,
    table: Table,
    plan: Plan,
    *,
    until_joined: bool,
    silence_s: float,
    quiet: bool,
) -> Outcome:
    from app.replay import Replay, advice  # noqa: PLC0415  # as above
    from app.replay.watch import Watch  # noqa: PLC0415
    from app.topology.topics import await_topics, ensure_topics  # noqa: PLC0415

    states = await ensure_topics(
        settings.broker,
        contract,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
        create=settings.create_topics,
    )
    counts = {state.topic: state.partitions for state in states}
    if any(state.created for state in states):
        await await_topics(settings.broker, counts)
    async with Watch(settings.broker, contract, counts, label_delay_s=plan.label_delay_s) as watch:
        with standing_bar(contract.name, quiet=quiet) as show:
            work = Replay(
                settings.broker, contract, table, plan, watch, counts,
                until_joined=until_joined, silence_s=silence_s, show=show,
            )  # fmt: skip
            with _stopped_by_signals(work):
                outcome = await work.run()
    if until_joined and not outcome.is_complete and not outcome.was_stopped:
        outcome = replace(outcome, advice=tuple(advice(outcome, contract, await _surroundings(settings, contract))))
    return outcome


@contextlib.contextmanager
def _stopped_by_signals(work: Replay) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the replay in order, the second at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if not work.stopping.is_set():
            work.stopping.set()
        elif task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        say("aborted")
        raise typer.Exit(_CTRL_C) from None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _surroundings(settings: Settings, contract: Contract) -> Surroundings:
    """What can be seen of workers and models when a replay has waited in vain."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415  # as above

    from app.cli.models import models_overview  # noqa: PLC0415
    from app.replay import Surroundings  # noqa: PLC0415
    from app.topology.topics import admin_client  # noqa: PLC0415

    models = await models_overview(settings.broker, contract, contract.name, time())
    n_workers: int | None = None
    with contextlib.suppress(KafkaError, OSError):
        async with admin_client(settings.broker) as client:
            [answer] = await client.describe_consumer_groups([settings.app_id])
            n_workers = sum(len(group["members"]) for group in answer.to_object()["groups"])
    versions = tuple(each["version"] for each in models["releases"])
    return Surroundings(settings.app_id, n_workers, models.get("in_force", {}).get("version"), versions)


def _warn(contract: Contract, plan: Plan, label_problem: str | None) -> None:
    if label_problem is not None:
        say(f"note: {label_problem}")
    elif plan.label_delay_s > contract.label_horizon_s:
        say(
            f"note: --label-delay {plan.label_delay_s:g} is beyond the contract's label_horizon_s = "
            f"{contract.label_horizon_s:g}: each label will be expired"
        )


def _suffix() -> str:
    """Another one in each millisecond."""
    return f"~{int(time() * 1000):x}"
