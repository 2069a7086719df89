"""Deadlines on disk and in memory against a plain dictionary."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.feedback import DictStore
from app.feedback.deadlines import Deadlines
from app.feedback.seen import entry_key

KEYS = [entry_key(str(n)) for n in range(4)]
OPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(KEYS), st.integers(0, 9)),
    st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.just("pop"), st.just(b""), st.integers(0, 9)),
    st.tuples(st.just("checkpoint"), st.just(b""), st.just(0)),
    st.tuples(st.just("checkpoint"), st.just(b""), st.just(0)),
    st.tuples(st.just("reopen"), st.just(b""), st.just(0)),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(OPS, min_size=8, max_size=60))
def test_labels_run_out_in_order_whether_on_disk_or_not(ops):
    """What pops until E is what a dictionary of deadlines holds before E; reopening goes back to the checkpoint."""
    store = DictStore()
    deadlines, waiting, stored = Deadlines(store), {}, {}
    for op, key, number in ops:
        if op == "add" and key not in waiting:
            waiting[key] = float(number)
            deadlines.add(float(number), key)
        elif op == "remove" and key in waiting:
            deadlines.remove(waiting.pop(key), key)
        elif op == "pop":
            popped = deadlines.pop_until(float(number))
            assert set(popped) == {k for k, at in waiting.items() if at < number}
            times = [waiting.pop(k) for k in popped]
            assert times == sorted(times)
            assert deadlines.next_at <= min(waiting.values(), default=float("inf"))
        elif op == "checkpoint":
            store.write(deadlines.added, deadlines.removed)
            deadlines.checkpointed()
            stored = dict(waiting)
        elif op == "reopen":
            deadlines, waiting = Deadlines(store), dict(stored)
        assert deadlines.next_at <= min(waiting.values(), default=float("inf"))
