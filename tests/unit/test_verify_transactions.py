"""When a transaction hangs, and when it is only under way."""

from aiokafka import TopicPartition

from verify.report import Report
from verify.transactions import find_unsettled, report_unsettled

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def ends_of(*answers):
    """Answers one after the other, the last for ever."""
    left = list(answers)

    async def ends(partitions):
        answer = left.pop(0) if len(left) > 1 else left[0]
        return {tp: answer[tp] for tp in partitions}

    return ends


async def test_a_settled_partition_is_not_waited_for():
    """Where both offsets agree one look is enough."""
    assert await find_unsettled([A, B], ends_of({A: 5, B: 0}), ends_of({A: 5, B: 0}), patience_s=60) == []


async def test_a_transaction_that_ends_meanwhile_is_none_that_hangs():
    """A pipeline at work always has some open transaction: the one of the first look must end."""
    stable = ends_of({A: 3, B: 7}, {A: 4, B: 7}, {A: 6, B: 7})

    assert await find_unsettled([A, B], stable, ends_of({A: 5, B: 7}, {A: 9, B: 7}), patience_s=60) == []


async def test_one_that_never_ends_is_found_and_told():
    """The report names topic, partition and both offsets."""
    found = await find_unsettled([A, B], ends_of({A: 3, B: 7}), ends_of({A: 5, B: 7}), patience_s=0.2)
    report = Report("p")
    report_unsettled(report, 2, found)
    (violation,) = report.check("transactions").violations

    assert (report.ok, report.check("transactions").checked) == (False, 2)
    assert (violation.kind, violation.where) == ("hanging", "t[0]@3")
    assert "stays 3 for 0.2 s" in violation.message
