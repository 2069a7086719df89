"""`faust-onnx dead-letters`: what could not be used, why, and once more please."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from app.cli.client import read_topic, run_client
from app.cli.flags import JsonOption, PipelineOption, chosen_pipeline, with_settings
from app.cli.letters import DeadLetter, bytes_as_json, bytes_for_people, resend
from app.cli.output import print_json, print_table, printable, say, when
from app.errors import BrokerError, Reason
from app.records import topics_of
from app.settings import Settings  # typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


app = typer.Typer(no_args_is_help=True, help="List, show and replay the records that could not be used.")

ReasonOption = Annotated[list[Reason] | None, typer.Option("--reason", help="Only this reason; may be repeated.")]
_FLUSH_EVERY = 1_000
_EXAMPLE = "a dead letter is named PARTITION:OFFSET, for example 0:42"


class _Choice(NamedTuple):
    """Which dead letters: of these reasons (none: all), in this partition, from offset to offset, inclusive."""

    reasons: frozenset[str]
    partition: int | None = None
    first: int = 0
    last: int | None = None


@app.command("list", epilog="Example: faust-onnx dead-letters list --pipeline fraud --reason not_json --limit 5")
@with_settings("broker", "pipelines")
def list_(  # the flags of a command
    *,
    pipeline: PipelineOption = None,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option(min=0, help="How many to show, the newest.")] = 20,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:
    """Count dead letters by reason and show the newest."""
    topic = topics_of(chosen_pipeline(pipeline, settings)).dead_letters
    counts, newest = run_client(_survey(settings.broker, topic, frozenset(reason or ()), limit), settings.broker)
    if as_json:
        print_json({"topic": topic, "total": counts.total(), "by_reason": dict(counts), "dead_letters": newest})
        return
    say(f"{counts.total()} dead letters on {topic}")
    print_table(["reason", "count"], [{"reason": name, "count": n} for name, n in counts.most_common()])
    if newest:
        typer.echo()
        print_table(
            ["at", "where", "reason", "from", "error"],
            (
                {
                    "at": when(each["failed_at"]) if "failed_at" in each else None,
                    "where": f"{each['partition']}:{each['offset']}",
                    "reason": each["reason"],
                    "from": _origin(each),
                    "error": each.get("error"),
                }
                for each in newest
            ),
        )


@app.command(epilog="Example: faust-onnx dead-letters show 0:42 --pipeline fraud")
@with_settings("broker", "pipelines")
def show(
    where: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET")],
    *,
    pipeline: PipelineOption = None,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:
    """Show one dead letter: its headers and its bytes."""
    topic = topics_of(chosen_pipeline(pipeline, settings)).dead_letters
    partition, offset = _coordinates(where)
    letter = run_client(_one(settings.broker, topic, partition, offset), settings.broker)
    if as_json:
        print_json(
            {
                **letter.described(),
                "headers": letter.headers,
                "key": bytes_as_json(letter.key),
                "value": bytes_as_json(letter.value),
            }
        )
        return
    for name, value in letter.headers.items():
        typer.echo(f"{name}: {printable(value)}")
    typer.echo(f"key: {bytes_for_people(letter.key)}\n\n{bytes_for_people(letter.value)}")


@app.command(
    epilog="Examples: faust-onnx dead-letters replay --pipeline fraud --reason missing_feature --dry-run; "
    "... replay 0:42; ... replay --partition 0 --from 100 --to 200"
)
@with_settings("broker", "pipelines", "models_dir")
def replay(  # noqa: PLR0913  # the flags of a command
    where: Annotated[str | None, typer.Argument(metavar="[PARTITION:OFFSET]", help="This one.")] = None,
    *,
    pipeline: PipelineOption = None,
    reason: ReasonOption = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Those in this partition.")] = None,
    first: Annotated[int | None, typer.Option("--from", min=0, help="Those from this offset on.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=0, help="Those up to this offset, inclusive.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing, only say what would be sent.")] = False,
    as_json: JsonOption = False,
    settings: Settings,
) -> None:
    """Send the original bytes again: same topic, same partition, same key, as new events.

    Of a row of an Arrow record that is a record of this row alone: its neighbours had outcomes of their own.

    Mend the contract or the sender first. A replayed record is scored by the version in force now, and one that is
    replayed twice is scored twice. Exit code 1 when some of the chosen could not be replayed.
    """
    if where is not None:
        if reason or every or partition is not None or first is not None or last is not None:
            raise typer.BadParameter("name one dead letter, or say which by flags, not both")
        partition, first = _coordinates(where)
        last = first
    elif not (reason or every or partition is not None or first is not None or last is not None):
        raise typer.BadParameter("say which: PARTITION:OFFSET, --reason, --partition, --from, --to or --all")
    from app.features import load_contracts  # noqa: PLC0415  # not for those who ask for --help

    name = chosen_pipeline(pipeline, settings)
    topics = load_contracts(settings.models_dir, [name])[name].topics
    topic = topics.dead_letters
    letters = _letters(settings.broker, topic, _Choice(frozenset(reason or ()), partition, first or 0, last))
    sources = (topics.features, topics.labels)
    sent, refused = run_client(_replay(settings.broker, letters, sources, dry_run=dry_run), settings.broker)
    if where is not None and not sent and not refused:
        raise BrokerError(f"there is no dead letter at {where} on {topic}")
    for obstacle in refused:
        say(f"cannot be replayed: {printable(obstacle)}")
    if as_json:
        print_json({"topic": topic, "replayed": sent, "refused": refused, "dry_run": dry_run})
    else:
        typer.echo(f"{sent} {'would be ' if dry_run else ''}replayed, {len(refused)} refused")
    raise typer.Exit(1 if refused else 0)


async def _letters(broker: str, topic: str, chosen: _Choice) -> AsyncIterator[DeadLetter]:
    """The dead letters that were asked for."""
    async for record in read_topic(broker, topic, partition=chosen.partition, first=chosen.first, last=chosen.last):
        letter = DeadLetter.of(record)
        if not chosen.reasons or letter.reason in chosen.reasons:
            yield letter


async def _survey(
    broker: str, topic: str, reasons: frozenset[str], limit: int
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """How many there are by reason, and the newest *limit* without their bytes, oldest first."""
    counts: Counter[str] = Counter()
    newest: dict[int, deque[dict[str, Any]]] = {}
    async for letter in _letters(broker, topic, _Choice(reasons)):
        counts[letter.reason] += 1
        newest.setdefault(letter.partition, deque(maxlen=limit)).append(letter.described())
    merged = sorted((each for letters in newest.values() for each in letters), key=lambda each: each["timestamp"])
    return counts, merged[-limit:] if limit else []


async def _one(broker: str, topic: str, partition: int, offset: int) -> DeadLetter:
    found = [letter async for letter in _letters(broker, topic, _Choice(frozenset(), partition, offset, offset))]
    if not found:
        raise BrokerError(f"there is no dead letter at {partition}:{offset} on {topic}")
    return found[0]


async def _replay(
    broker: str, letters: AsyncIterator[DeadLetter], topics: tuple[str, str], *, dry_run: bool
) -> tuple[int, list[str]]:
    """How many were sent to *topics* and acknowledged, and why the others were not."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415  # not for those who ask for --help

    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)
    sent, refused, unanswered = 0, [], []
    try:
        await producer.start()
        sources = {topic: await producer.partitions_for(topic) for topic in topics}
        async for letter in letters:
            obstacle = letter.obstacle(sources)
            if obstacle:
                refused.append(obstacle)
                continue
            if not dry_run:
                unanswered.append(await resend(producer, letter))
            sent += 1
            if len(unanswered) >= _FLUSH_EVERY:
                await _answered(unanswered)
        await _answered(unanswered)
    finally:
        await producer.stop()
    return sent, refused


async def _answered(futures: list[Any]) -> None:
    """Wait until the broker has acknowledged what was sent, and forget it."""
    for future in futures:
        await future
    futures.clear()


def _coordinates(where: str) -> tuple[int, int]:
    partition, separator, offset = where.partition(":")
    if not (separator and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise typer.BadParameter(f"{where}: {_EXAMPLE}")
    return int(partition), int(offset)


def _origin(described: dict[str, Any]) -> str | None:
    if "source_topic" not in described:
        return None
    row = f" row {described['source_row']}" if "source_row" in described else ""
    return f"{described['source_topic']} {described['source_partition']}:{described['source_offset']}{row}"
