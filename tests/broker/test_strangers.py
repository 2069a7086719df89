"""Workers of one group that would take each other's events away."""

from __future__ import annotations

import pytest

from app.transport import live

pytestmark = pytest.mark.broker


async def test_a_worker_of_another_pipeline_on_the_same_events_does_not_start(pipeline):
    """In the group of the first it would get some of the partitions, and the first would never see those events.

    Broken by not looking at who is in the group: both run, and each scores a part of the events.
    """
    first, second = pipeline(partitions=2), pipeline(partitions=2)
    path = second.models_dir / second.name / "contract.toml"
    path.write_text(path.read_text() + f'\n[topics]\nfeatures = "{first.topics.features}"\n')
    await first.create()
    await first.publish()
    running = await first.start_worker(app_id=f"app-{first.name}").ready()

    refused = second.start_worker(app_id=f"app-{first.name}")
    assert await refused.wait() == 2
    said = f"topic {first.topics.features} is consumed by pipeline {second.name} and by {first.name} in one group"
    assert said in refused.log.read_text()

    again = first.start_worker(app_id=f"app-{first.name}")
    await again.ready()
    assert running.process.poll() is None


async def test_the_leader_of_a_group_knows_what_each_member_subscribes_to(
    new_app, running, unique, create_topics, eventually
):
    """Of two that started at one moment, and did not see each other, one of them can tell."""
    topics = sorted([unique("in"), unique("in")])
    await create_topics(dict.fromkeys(topics, 1))
    told, apps = [], []
    for topic in topics:
        app = new_app()
        app.on_members = told.append
        app.batch_table(f"{topic}-counts", partitions=1)  # those without a table are shared out by the client itself

        @app.agent(app.batch_topic(topic))
        async def consume(batches):
            async for batch in live(batches):
                batch.done()

        apps.append(app)
    async with running(apps[0]), running(apps[1]):
        await eventually(
            lambda: told and sorted(sorted(each & set(topics)) for each in told[-1]) == [[t] for t in topics]
        )
