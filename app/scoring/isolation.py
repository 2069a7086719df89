"""Finding the record on which the program itself fails, so that its neighbours do not suffer and no crash loop begins.

    work(0 1 2 3 4 5 6 7)  raises
      work(0 1 2 3)  answers
      work(4 5 6 7)  raises
        work(4 5)  raises     4 answers, 5 is the offender
        work(6 7)  answers

Such a record would end every worker that is given it, one after the other. Memory that is not there is another matter:
that is the machine's fault and no record's.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_TOLD_MAX = 100
_told: set[tuple[object, ...]] = set()
_telling = threading.Lock()


def isolated(work: Callable[[range], Answer], positions: range) -> Iterator[tuple[range, Answer | Exception]]:
    """What *work* gives for *positions* or, where it raises, for parts of them; a lone offender comes with its error.

    In order, and every position once. MemoryError goes up, and so does what is raised for no position at all.
    """
    answer: Answer | Exception
    try:
        answer = work(positions)
    except MemoryError:
        raise
    except Exception as error:
        if not positions:
            raise
        if len(positions) > 1:
            half = len(positions) // 2
            yield from isolated(work, positions[:half])
            yield from isolated(work, positions[half:])
            return
        answer = error
    yield positions, answer


def describe(error: Exception, doing: str, where: str) -> str:
    """*error* in a line, for a dead letter; the log gets its traceback the first time that it comes from this place.

    doing: what failed, as `decoding`; where: the record, as `fraud.features-3 at 4711`.
    """
    text = f"{doing} failed unexpectedly: {type(error).__name__}: {error}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (type(error), trace and trace.tb_frame.f_code, trace and trace.tb_lineno)
    with _telling:
        is_new = place not in _told
        if is_new and len(_told) < _TOLD_MAX:
            _told.add(place)
    if is_new:
        log.error("a record became a dead letter by a fault of the program: %s: %s", where, text, exc_info=error)
    return text
