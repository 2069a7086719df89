"""Short runs of a model go in place, long ones in a thread; which is which is told by the runs before."""

import threading

import numpy as np
import pytest

from app.features import BatchDecoder
from app.scoring import PreparedBatch, Scorer
from app.topology.runs import LONG_S, Runs


class Clock:
    """Seconds that pass `step_s` at a time."""

    def __init__(self, step_s):
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self):
        """The time, a step later each time it is asked for."""
        self.now_s += self.step_s
        return self.now_s


class Watched(PreparedBatch):
    """Notes the thread in which its models ran."""

    ran_in = None

    def run(self):
        """As ever."""
        self.ran_in = threading.get_ident()
        return super().run()


@pytest.fixture
def prepare(make_contract, make_record, models):
    """Makes batches of n records for a version of a model that adds a tenth."""
    contract = make_contract('{ name = "a" }', id_field='"id"')
    inputs, outputs = {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", 1])}
    model = models.graph(
        [("Add", ["a", "bias"], ["out"], {})], inputs, outputs, constants={"bias": np.float32([[0.1]])}
    )
    decoder = BatchDecoder(contract)

    def make(n, version=1, value=0.5):
        scorer = Scorer.load(model, contract, version=version, sha256="0" * 64)
        records = [make_record({"id": str(at), "a": value}, offset=at) for at in range(n)]
        return Watched(records, decoder, lambda _: scorer)

    return make


async def test_a_model_that_never_ran_runs_in_a_thread(prepare):
    """Nothing is known of it, and it might take seconds."""
    runs, batch = Runs(), prepare(1)
    [answers], took_s = await runs.run(batch)

    assert batch.ran_in != threading.get_ident()
    assert answers.score == pytest.approx([0.6])
    assert took_s > 0


async def test_a_model_that_proved_quick_runs_in_place(prepare):
    """A single row of it is not worth the way to a thread and back."""
    runs = Runs(clock=Clock(LONG_S / 10))
    await runs.run(prepare(1))
    batch = prepare(1)
    await runs.run(batch)

    assert batch.ran_in == threading.get_ident()


async def test_many_rows_of_a_quick_model_run_in_a_thread(prepare):
    """What counts is the whole run: rows times the time for a row."""
    runs = Runs(clock=Clock(LONG_S / 10))
    await runs.run(prepare(1))
    batch = prepare(20)

    assert runs.is_long(batch)

    await runs.run(batch)

    assert batch.ran_in != threading.get_ident()


async def test_a_model_that_became_slow_leaves_the_event_loop(prepare):
    """The mean follows the latest runs."""
    clock = Clock(LONG_S / 10)
    runs = Runs(clock=clock)
    await runs.run(prepare(1))

    assert not runs.is_long(prepare(1))

    clock.step_s = LONG_S * 10
    await runs.run(prepare(1))

    assert runs.is_long(prepare(1))


async def test_each_version_is_judged_by_itself(prepare):
    """A new version may be slow whatever the old one was."""
    runs = Runs(clock=Clock(LONG_S / 10))
    await runs.run(prepare(1, version=1))

    assert not runs.is_long(prepare(1, version=1))
    assert runs.is_long(prepare(1, version=2))


async def test_a_batch_without_a_good_record_needs_no_thread(prepare):
    """There is nothing to run."""
    runs = Runs()

    assert not runs.is_long(prepare(3, value="no number"))
    assert not runs.is_long(prepare(0))
