"""Contracts for the command line, topics for the checker, and applications on the batched transport."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from aiokafka import AIOKafkaProducer

from app.records import OutRecord
from app.transport import BatchApp


@pytest.fixture(name="write_contract")
def _write_contract(unique, tmp_path):
    """Make a pipeline without topics, in the folder `models`, of a contract's text; its name."""

    def write(text):
        name = unique()
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "contract.toml").write_text(text.format(name=name))
        return name

    return write


@pytest.fixture(name="write_hand_made")
def _write_hand_made(create_topics, bootstrap, tmp_path):
    """Write a hand-made pipeline: its contract, and its records into topics of its own.

    widths: the partitions of each topic by what its name ends with (`features`). Options are the producer's;
    with `transactional_id` all records are one transaction.
    """

    async def write(made, widths, **options):
        folder = tmp_path / made.name
        folder.mkdir()
        (folder / "contract.toml").write_text(made.contract_text)
        # The hand-made records are of 2023: by default Kafka would delete them as too old.
        kept = {"retention.ms": "-1"}
        await create_topics({f"{made.name}.{word}": (n, kept) for word, n in widths.items()})
        async with (
            AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, **options) as producer,
            producer.transaction() if "transactional_id" in options else contextlib.nullcontext(),
        ):
            sent = [
                await producer.send(
                    record.topic,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                    headers=list(record.headers),
                )
                for log in made.records.values()
                for record in log
            ]
            await asyncio.gather(*sent)

    return write


@pytest.fixture(name="new_app")
def _new_app(bootstrap, unique, tmp_path):
    """Make a BatchApp against the test broker; several with the same name share the work."""
    default_name = unique("app")

    def make(name=None, **options):
        settings = {
            "broker": f"kafka://{bootstrap}",
            "store": "memory://",
            "consumer_auto_offset_reset": "earliest",
            "topic_partitions": 2,
            "topic_disable_leader": True,
            "stream_recovery_delay": 0,
            "web_enabled": False,
            "table_standby_replicas": 0,
            "broker_commit_interval": 0.1,
            "broker_max_poll_records": 500,
            "broker_session_timeout": 10.0,
            "datadir": tmp_path / "faust",
            "env": {},
        }
        return BatchApp(name or default_name, **{**settings, **options})

    return make


@pytest.fixture(name="running")
def _running():
    """Run an app for the length of a block and stop it in the end."""

    @contextlib.asynccontextmanager
    async def run(app):
        app.finalize()
        await app.start()
        try:
            yield app
        finally:
            await app.stop()

    return run


@pytest.fixture(name="rows")
def _rows():
    """Numbered records for `publish`."""

    def make(numbers, *, size=0):
        return [OutRecord(b"k", b"%d" % n + b" " * size, int(time.time() * 1000), []) for n in numbers]

    return make
