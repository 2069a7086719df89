"""The runner of the fault suite: what it does again, and when it calls the whole green."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from tests.faults.suite import __main__ as runner
from tests.faults.suite.keys import case_key, code_key
from tests.faults.suite.registry import CASES
from tests.faults.suite.store import Result, Store


def result(case, seed, mode, *, violations=(), **changes):
    """A result that stands for the code `abc` and the case as it is."""
    fields = {"commit": "abc", "case_key": case_key(CASES[case])} | changes
    return Result(case, CASES[case].number, seed, mode, records=9, labels=9, copies=0, took_s=1.0,
                  violations=list(violations), **fields)  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command on cases that do nothing: its exit code; `run.done` is what was run, `run.store` the results."""
    path = tmp_path / "results.jsonl"

    async def run_case(case, seed, mode, **_):
        call.done.append((case.name, seed, mode))
        if call.fails == len(call.done):
            raise call.error
        return result(case.name, seed, mode, violations=call.violations, commit="")

    @contextlib.asynccontextmanager
    async def no_site():
        yield None

    def call(*arguments):
        call.done.clear()
        return runner.main(["--results", str(path), "--commit", "abc", "--cases", "zombie,sigterm", *arguments])

    call.done, call.violations, call.fails, call.error, call.store = [], (), 0, None, Store(path)
    monkeypatch.setattr(runner, "run_case", run_case)
    monkeypatch.setattr(runner, "new_site", no_site)
    return call


def test_what_is_kept_is_skipped(run):
    """Also if it was done by another runner; results of other code or of another case file are no such thing."""
    run.store.append(result("zombie", 1, "exactly_once"))
    run.store.append(result("sigterm", 1, "exactly_once", commit="def"))
    run.store.append(result("sigterm", 1, "at_least_once", case_key="before"))

    assert run("--seeds", "1") == 0
    assert run.done == [("sigterm", 1, "at_least_once"), ("sigterm", 1, "exactly_once"), ("zombie", 1, "at_least_once")]
    assert run("--seeds", "1") == 0
    assert run.done == []
    assert run("--seeds", "1", "--again", "all") == 0
    assert len(run.done) == 4


def test_a_red_run_is_red_also_when_it_is_skipped(run):
    """Until it is done again and holds."""
    run.violations = ["P1 lost"]
    assert run("--seeds", "1") == 1
    assert run("--seeds", "1") == 1
    assert run.done == []

    run.violations = ()
    assert run("--seeds", "1", "--again", "red") == 0


def test_a_run_that_was_interrupted_is_not_green(run):
    """What was done is kept, but the whole is green only once every run is done."""
    run.fails, run.error = 3, runner.asyncio.CancelledError()

    assert run("--seeds", "1") == 1
    assert len(run.store.read()) == 2
    run.fails = 0
    assert run("--seeds", "1") == 0
    assert len(run.done) == 2


def test_what_is_to_be_done_again_does_not_count_by_its_last_result(run):
    """An interrupted `--again all` is not green because of what was there before."""
    assert run("--seeds", "1") == 0
    run.fails, run.error = 1, runner.asyncio.CancelledError()

    assert run("--seeds", "1", "--again", "all") == 1


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 0), ([0, 1], 1), ([0, -9], 1)])
def test_a_process_that_crashed_is_not_green(run, monkeypatch, codes, expected):
    """Although every run has a result that holds."""

    def shards(arguments, jobs):
        assert (arguments[-1], jobs) == ("abc", 2)
        for case in ("zombie", "sigterm"):
            run.store.append(result(case, 1, "exactly_once"))
        return codes

    monkeypatch.setattr(runner, "run_shards", shards)

    assert run("--seeds", "1", "--modes", "exactly_once", "--jobs", "2") == expected


def test_nothing_wanted_is_not_green(run):
    """No seed, no case or no mode shows nothing."""
    assert run("--seeds", "1", "--modes", "") == 1


def test_the_key_of_the_code_changes_with_it_and_not_with_cases_or_documentation(tmp_path):
    """By its last commit, and by what is not committed."""

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments],  # noqa: S607
                       cwd=tmp_path, check=True, capture_output=True)  # fmt: skip

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return code_key(tmp_path)

    git("init", "-q")
    write("app/a.py", "1")
    git("add", "-A")
    git("commit", "-qm", "one")
    committed = code_key(tmp_path)

    assert "+" not in committed
    assert write("docs/a.md", "1") == write("tests/faults/suite/cases/a.py", "1") == committed
    changes = [("app/a.py", "2"), ("app/a.py", "3"), ("verify/b.py", "1"), ("tests/workers.py", "1")]
    changed = [write(*each) for each in changes]
    assert len({committed, *changed}) == 5
    assert all(key.startswith(f"{committed}+") for key in changed)


def test_seeds_are_counted_or_named():
    """A number means that many; several are named, or a range of them."""
    assert runner.seeds_of("3") == [1, 2, 3]
    assert runner.seeds_of("4,7,11-13") == [4, 7, 11, 12, 13]
