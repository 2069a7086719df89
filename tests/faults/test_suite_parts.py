"""Parts of the fault suite that look at what a run has left: each can fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.faults.suite.cases.labels import Epochs
from tests.faults.suite.cases.times import DAY_S, old_panes
from tests.faults.suite.earlier import LAYOUT, earlier_program
from tests.faults.suite.judge import check_bounds
from tests.faults.suite.measure import disk_bytes
from tests.faults.suite.run import Run
from tests.faults.suite.sockets import owner_of
from tests.workers import HOOKS, ROOT


def test_panes_that_are_kept_beyond_their_time_are_found():
    """Two days of event time after the end of the row that they are in; by the E of their own partition."""
    told = {b"1/all/10/0/0": {}, b"1/all/10/0/1": {}, b"1/all/10/320/0": None, b"ledger/0": {}}

    assert old_panes(told, {0: 2 * DAY_S + 160.0, 1: 0.0}) == []
    assert old_panes(told, {0: 2 * DAY_S + 161.0, 1: 0.0}) == ["1/all/10/0/0"]


@pytest.mark.parametrize(
    ("peak", "value", "told"),
    [
        ("rss_bytes", 451 << 20, "451 MB of memory"),
        ("ledger_bytes", 7 << 20, "7168 kB of disk for 9000 ids"),
        ("rss_bytes", 440 << 20, None),
        ("ledger_bytes", 5 << 20, None),
    ],
)
def test_memory_and_disk_beyond_their_bounds_are_told(peak, value, told):
    """A ledger may take 4 MB, and 200 bytes for each id that it has seen."""
    peaks = SimpleNamespace(**{"rss_bytes": 200 << 20, "ledger_bytes": 1 << 20} | {peak: value})
    ledgers = {0: {"totals": {"1": {"predicted": 5000}, "2": {"predicted": 4000}}}, 1: {}}
    violations = []
    run = SimpleNamespace(
        peaks=peaks, watch=SimpleNamespace(ledgers=ledgers), pipeline=SimpleNamespace(workers=[]), notes=[],
        must=lambda holds, text: holds or violations.append(text),
    )  # fmt: skip
    check_bounds(run)

    assert [told in text for text in violations] == ([True] if told else [])


def test_disk_is_measured_by_ledger(tmp_path):
    """What lies in the folder of a ledger, each by itself, and all that there is."""
    for name, size in (("worker-0/ledger/c/a/p/0/1.sst", 10), ("worker-0/ledger/c/a/p/1/1.sst", 5), ("worker-0/x", 3)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"." * size)

    total, by_ledger = disk_bytes(tmp_path)

    assert total == 18
    assert sorted(by_ledger.values()) == [5, 10]


def test_a_connection_is_told_by_its_process():
    """The port of its own end names the process that has it open."""
    mine = SimpleNamespace(process=SimpleNamespace(pid=os.getpid()))
    other = SimpleNamespace(process=SimpleNamespace(pid=os.getppid()))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        assert owner_of(port, [other, mine]) is mine
        assert owner_of(port, [other]) is None


def hooked(code, **environment):
    """What a program prints that has the hooks on its path."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(HOOKS), **environment}, cwd=ROOT,
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip


def test_the_clock_of_a_process_can_be_stepped(tmp_path):
    """`time.time()` is as many seconds off as the file says, monotonic clocks are not."""
    clock = tmp_path / "clock"
    clock.write_text("-86400")
    code = "import time; time.sleep(0.3); b = time.monotonic(); print(time.time(), time.time_ns() / 1e9, b)"
    shifted = [float(each) for each in hooked(code, FAULT_CLOCK=str(clock))]
    plain = [float(each) for each in hooked(code)]

    assert [round((p - s) / DAY_S, 2) for p, s in zip(plain, shifted, strict=True)] == [1, 1, 0]


def test_constants_of_modules_and_classes_can_be_set():
    """After the module's own code has run; one that is not there is an error, not silence."""
    code = "import tests.proxy_lines as m, tests.programs; print(m.HELD_ANSWER_S, m.Rule.skip)"

    assert hooked(code) == ["5.0", "0"]
    constants = "tests.proxy_lines:HELD_ANSWER_S=2,tests.proxy_lines:Rule.skip=3"
    assert hooked(code, FAULT_CONSTANTS=constants) == ["2.0", "3.0"]
    with pytest.raises(subprocess.CalledProcessError):
        hooked(code, FAULT_CONSTANTS="tests.proxy_lines:NO_SUCH=1")


@pytest.fixture
def history(tmp_path):
    """A repository with the files that say how rows are laid out: `commit(path, text)`, and `root`."""

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments],  # noqa: S607
                       cwd=root, check=True, capture_output=True)  # fmt: skip

    def commit(path, text):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        git("add", "-A")
        git("commit", "-qm", path)

    root = tmp_path / "history"
    root.mkdir()
    git("init", "-q")
    for path in LAYOUT:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("FORMAT = 1\nclass Counters:\n    n = 1\n    def f(self): pass\n\ndef g(): pass\n")
    return SimpleNamespace(root=root, commit=commit)


def test_the_program_before_the_last_change_of_what_writes_rows_is_found(history, tmp_path):
    """Unless the history does not go back so far, or the layout was another one."""
    into = tmp_path / "run"
    into.mkdir()
    history.commit("app/performance/tallies.py", "1")
    assert earlier_program(into, root=history.root)[0] is None

    history.commit("app/other.py", "1")
    history.commit("app/performance/tallies.py", "2")
    history.commit("docs/a.md", "1")
    code, about = earlier_program(into, root=history.root)
    assert (code / "app/performance/tallies.py").read_text() == "1"
    assert (code / "app/other.py").exists()
    assert ", before " in about

    history.commit("app/feedback/ledger.py", "FORMAT = 2\n")
    assert "has changed the layout in app/feedback/ledger.py" in earlier_program(into, root=history.root)[1]


def test_labels_of_an_epoch_are_all_in_it_but_those_late_on_purpose():
    """After the last event that a load sends at least, none of its labels is still to come."""
    run = Run(SimpleNamespace(name="labels"), 1, "exactly_once", None, "p", None)
    epochs = Epochs("p", 300, 200.0, 1e9)

    source = epochs.source(run.rng)
    sent = [message for _ in range(300) for message in next(source)]
    ids = {
        message.value.split(b'"')[3] for message in sent if message.labels and message.value and b"id" in message.value
    }
    late = {message.value.split(b'"')[3] for message in epochs.late}

    assert not epochs.sent_late
    assert len(late) > 20
    assert len(ids) > 150
    assert all(len(more) == 1 for more in (next(source), next(source)) if not more[-1].labels)
    second = [message for source in [epochs.source(run.rng)] for _ in range(300) for message in next(source)]
    assert epochs.sent_late >= len(late)
    assert late <= {m.value.split(b'"')[3] for m in second if m.labels and m.value and b"id" in m.value}
