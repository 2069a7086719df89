"""Rebalances whose revocation names no partition, as Kafka's client does when it knows of no assignment."""

from __future__ import annotations

import pytest

from app.settings import Settings
from app.topology.worker_app import create_app
from app.transport import live

pytestmark = pytest.mark.broker


def name_nothing(app, monkeypatch):
    """Let every revocation from now on name no partition."""
    revoked = app.consumer.on_partitions_revoked

    async def unnamed(_tps):
        await revoked(set())

    monkeypatch.setattr(app.consumer, "on_partitions_revoked", unnamed)


async def test_a_partition_that_was_given_up_is_delivered_again(
    new_app, running, unique, create_topics, produce, eventually, monkeypatch
):
    """Also when nothing of it was in hand: it was only held back, and the assignment is the end of that.

    Broken by forgetting deliveries alone: a partition whose lane was fenced between two batches stays parked for ever.
    """
    topic, seen = unique("in"), []
    await create_topics({topic: 1})
    app = new_app()

    @app.agent(app.batch_topic(topic))
    async def collect(batches):
        async for batch in live(batches):
            seen.extend(record.value for record in batch.records)
            batch.done()

    async with running(app):
        await eventually(lambda: app.consumer.assignment() and app.consumer._stands)
        name_nothing(app, monkeypatch)
        [tp] = app.consumer.assignment()
        await app.consumer.give_up([tp])
        await eventually(lambda: app.consumer._assignments > 1 and app.consumer._stands)
        await produce(topic, [b"after"])
        await eventually(lambda: seen == [b"after"])


@pytest.fixture
async def worker_app(pipeline, tmp_path, running):
    """A pipeline with a model, and its worker in this process."""
    one = pipeline(partitions=1)
    await one.create()
    await one.publish()
    flags = {
        "broker": one.bootstrap, "app_id": f"app-{one.name}", "pipelines": one.name, "models_dir": str(one.models_dir),
        "state_dir": str(tmp_path / "state"), "http": "127.0.0.1:0", "performance_interval_s": 0.2,
    }  # fmt: skip
    settings = Settings.load(flags, environ={}, cwd=tmp_path)
    app = create_app(settings, {one.name: one.contract}, {one.name: 1}, {one.name: 1}, cluster_id="test")
    async with running(app):
        yield one, app


async def test_counting_goes_on_with_ledgers_that_are_opened_anew(worker_app, rng, eventually, monkeypatch):
    """Each assignment opens ledgers, from their checkpoint and with the lane that it took, whatever was open before.

    Broken by leaving what is open as it is: its lane is fenced by the worker's own new one, again and again, and it is
    read on from the committed offset and not from where its ledger stands.
    """
    one, app = worker_app
    await eventually(lambda: app.readiness()[0], deadline_s=60)
    await one.feed(200, rng=rng)
    feedback = app.lives[one.name].feedback

    async def counted(at_least):
        made = app.lives[one.name].scoring.predicted
        positions = feedback.status().get("0", {}).get("positions", {})
        return made >= at_least and positions.get("predictions", 0) >= made

    await eventually(lambda: counted(150))
    before = feedback._desks[0]
    name_nothing(app, monkeypatch)
    assignment = app.consumer._assignments
    await app.consumer._thread.rejoin()
    await eventually(lambda: app.consumer._assignments > assignment and app.consumer._stands)
    assert feedback._desks[0] is not before
    await one.feed(200, rng=rng)
    await eventually(lambda: counted(300))
    assert app.failed is None
    assert feedback._desks[0]._lane.retries == 0
