"""What is logged while a broker is away."""

import logging

from app.logs import OncePerWhile


def record(name, message, at_s):
    """A log record made at *at_s*."""
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, ("node 1",), None)
    made.created = at_s
    return made


def test_a_client_that_repeats_itself_is_heard_once_in_a_while():
    """The first message passes, the next ones are counted, and the one after the while tells their number."""
    sparing = OncePerWhile(5.0)
    passed = [each for at_s in (0.0, 0.1, 0.2, 6.0) if sparing.filter(each := record("aiokafka", "lost %s", at_s))]

    assert [each.getMessage() for each in passed] == ["lost node 1", "lost node 1 (2 more like this since)"]


def test_our_own_messages_all_pass():
    """A decision of the worker is told each time."""
    sparing = OncePerWhile(5.0)

    assert all(sparing.filter(record("app.topology", "refused", 0.0)) for _ in range(3))
