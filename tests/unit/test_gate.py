"""Which batches wait for models, and until when."""

from __future__ import annotations

import time
from types import SimpleNamespace

from app.topology.gate import Gate

FRESH_S = 1.0
"""How long ago the models were read to their end."""


class Reader:
    """Whatever is asked up to now can be scored."""

    failed = None

    def needs(self, _earliest_s, _latest_s, *, now_s, settled_s):
        """What the models must have been read up to, 2 s of lead apart."""
        return None if settled_s - 2.0 <= now_s - FRESH_S else "the models were not read that far"


def batch(*ahead_s):
    """Records so many seconds ahead of the clock."""
    now_ms = time.time() * 1000
    records = [SimpleNamespace(timestamp=int(now_ms + ahead * 1000)) for ahead in ahead_s]
    return SimpleNamespace(topic="a", partition=0, records=records)


def admits(*ahead_s):
    """Whether the batch may be scored now."""
    return Gate(Reader(), lambda: SimpleNamespace(park=lambda _: None)).admits(batch(*ahead_s))


def test_records_of_a_far_future_are_not_waited_for():
    """More than a minute ahead: whether they come among others or all alone in their batch."""
    assert admits(0, 86_400)
    assert admits(86_400)
    assert admits(86_400, 3600)


def test_records_of_the_next_minute_wait_for_their_models():
    """Until then it could be another version that they belong to."""
    assert not admits(30)
    assert not admits(30, 86_400)
