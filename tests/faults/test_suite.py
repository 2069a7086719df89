"""Six of the fault suite's cases, shortened, with one seed; `make test-faults` runs all of them at length."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from tests.conftest import FULL
from tests.faults.suite import cases
from tests.faults.suite.engine import run_case
from tests.faults.suite.registry import CASES
from tests.faults.suite.run import Site
from tests.faults.suite.store import Result, Store
from tests.faults.suite.table import BEGIN, END, as_text, mixture, page_with, recorded, rows
from tests.proxy import Proxy

SHORT = [
    ("kill_random", "at_least_once"),
    ("kill_random", "exactly_once"),
    ("zombie", "exactly_once"),
    ("join_leave", "at_least_once"),
    ("broker_restart", "at_least_once"),
    ("end_delayed", "exactly_once"),
    ("state_corrupt", "at_least_once"),
]
PLANNED = {*range(1, 15), *range(18, 22), 23, 24}


@pytest.mark.broker
@pytest.mark.fault
@pytest.mark.parametrize(("name", "mode"), SHORT)
async def test_a_fault_under_load_loses_and_miscounts_nothing(name, mode, request):
    """The fault is injected, healed and drained; then every invariant holds, from P1 to P8."""
    case = CASES[name]
    shared = None
    if not case.own_broker and not case.proxied:
        shared = Site(SimpleNamespace(bootstrap=request.getfixturevalue("bootstrap")), Proxy(0))

    result = await run_case(case, 1, mode, shared=shared, scale=1.0 if FULL else 0.1)

    assert not result.violations
    assert result.records >= 600


def test_every_planned_fault_has_a_case():
    """Each number of the plan is there, and each case says in a sentence what it does."""
    assert cases.__all__
    assert {case.number for case in CASES.values()} == PLANNED
    assert all(case.about.endswith(".") for case in CASES.values())


def result(case="zombie", seed=1, *, recovery_s=2.0, violations=(), copies=0):
    """A result of a run."""
    return Result(
        case, CASES[case].number, seed, "exactly_once", "abc", 100, 90, copies, 9.0,
        violations=list(violations), recovery_s=recovery_s,
    )  # fmt: skip


def test_results_are_kept_and_the_last_of_a_run_counts(tmp_path):
    """What was appended is read again, by whichever runner; a run that is done again replaces its result."""
    path = tmp_path / "build" / "results.jsonl"
    Store(path).append(result(violations=["P1 lost"]))
    Store(path).append(result(seed=2))
    Store(path).append(result())

    kept = Store(path).read()

    assert {(each.seed, len(each.violations)) for each in kept} == {(1, 0), (2, 0)}


def test_a_line_that_was_cut_short_is_no_result_and_harms_no_other(tmp_path):
    """The runner was killed while it wrote: that run is done again, and what comes after it is read."""
    path = tmp_path / "results.jsonl"
    Store(path).append(result())
    Store(path).append(result(seed=2))
    path.write_bytes(path.read_bytes()[:-9])
    size = Store(path).size

    assert [each.seed for each in Store(path).read()] == [1]
    Store(path).append(result(seed=3))

    assert [each.seed for each in Store(path).read()] == [1, 3]
    assert [each.seed for each in Store(path).read(since=size)] == [3]


def test_the_table_sums_runs_and_leaves_out_no_violation():
    """Seeds, records, copies and violations add up; recovery is a median and a maximum."""
    kept = [result(seed=n, recovery_s=float(n), copies=n) for n in (1, 2, 6)]
    table = as_text(rows([*kept, result("sigterm", recovery_s=None, violations=["P1", "P4"])]))

    assert "| exactly_once | 3 `zombie` | 3 | 300 | 9 | 0 | 2.0 s | 6.0 s |" in table
    assert "| exactly_once | 2 `sigterm` | 1 | 100 | 0 | 2 | - | - |" in table
    assert "| exactly_once | **all** | 4 | 400 | 9 | 2 | 2.0 s | 6.0 s |" in table


def test_the_table_replaces_what_stood_between_its_markers():
    """The page around it stays; a page without markers is refused."""
    kept = recorded([result()])
    page = page_with(f"# A\n{BEGIN}\nold\n{END}\nrest\n", kept)

    assert page.startswith(f"# A\n{BEGIN}\nCommit `abc`; ")
    assert page.endswith(f"|\n{END}\nrest\n")
    assert "old" not in page
    assert page_with(page, kept) == page
    with pytest.raises(SystemExit, match="no <!-- fault suite: begin"):
        page_with("# A\n", kept)


def test_results_of_different_code_are_not_added_up():
    """Neither of different commits nor of a case that was changed in between."""
    one = result()

    assert mixture([one, result(seed=2), result("sigterm")]) == ""
    assert mixture([one, msgspec.structs.replace(one, commit="def")]) == "of abc, def"
    assert mixture([one, msgspec.structs.replace(one, case_key="2")]) == "zombie changed in between"
