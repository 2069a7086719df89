"""What is said on `model-events`, once and in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from app.errors import Refusal, RejectedRelease
from app.registry import audit as audit_module
from app.registry.audit import Audit
from app.registry.entries import Ignored, Notice
from app.registry.timeline import InForce


@pytest.fixture
async def reporting():
    """Runs an Audit over a report function for the length of a test."""
    tasks = []

    def run(report):
        audit = Audit(report, pipeline="fraud", worker="w1", clock=lambda: 5.0)
        tasks.append(asyncio.create_task(audit.run()))
        return audit

    yield run
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_each_thing_is_said_once(reporting):
    """Saying it again says nothing; another version, sequence or record is another thing."""
    events = []
    audit = reporting(events.append)
    for _ in range(2):
        audit.accepted(1)
        audit.refused(2, RejectedRelease(Refusal.NOT_ONNX, "no model"))
        audit.activated(InForce(1, 7))
        audit.without_effect(Notice(Ignored.TOO_LATE, "too late", version=1, sequence=8), offset=3)
        audit.without_effect(Notice(Refusal.BAD_MANIFEST, "bad", version=9), offset=4)
    await audit.drain()
    assert [(e.event, e.version, e.sequence, e.reason) for e in events] == [
        ("accepted", 1, None, None),
        ("refused", 2, None, "not_onnx"),
        ("activated", 1, 7, None),
        ("ignored", 1, 8, "too_late"),
        ("refused", 9, None, "bad_manifest"),
    ]
    assert {(e.pipeline, e.worker, e.at) for e in events} == {("fraud", "w1", 5.0)}


async def test_an_event_is_tried_again_until_it_is_reported(reporting, monkeypatch):
    """A broker that refuses delays the events, keeps their order, and shows as a problem meanwhile."""
    monkeypatch.setattr(audit_module, "_RETRY_S", (0.01,))
    events, problems = [], []

    async def report(event):
        if len(problems) < 3:
            problems.append(audit.problem)
            raise OSError("broker away")
        events.append(event.version)

    audit = reporting(report)
    audit.accepted(1)
    audit.accepted(2)
    await audit.drain()
    assert events == [1, 2]
    assert "broker away" in problems[-1]
    assert audit.problem is None


async def test_stopping_does_not_wait_for_ever(reporting, monkeypatch):
    """What cannot be reported is given up after a moment, with a warning."""
    monkeypatch.setattr(audit_module, "_DRAIN_S", 0.05)

    async def never(_):
        await asyncio.Event().wait()

    audit = reporting(never)
    audit.accepted(1)
    await audit.drain()
