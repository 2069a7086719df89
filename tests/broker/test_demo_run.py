"""The demo as its user runs it: a program in a terminal, on a real Kafka, with a real worker."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

pytestmark = [pytest.mark.broker, pytest.mark.timeout(170)]

KEYS = {
    "events_in",
    "predictions",
    "dead_letters",
    "labels",
    "joined",
    "accuracy",
    "swap_seconds",
    "latency_p50_s",
    "latency_p99_s",
    "kafka",
}

IN_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes its terminal the controlling one, as a shell does, so that Ctrl-C typed there is a signal."""


async def topics_of(bootstrap: str) -> set[str]:
    """The names of all topics of the broker."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        return set(await client.list_topics())
    finally:
        await client.close()


def processes_with(folder: Path) -> list[tuple[int, str]]:
    """Number and command line of each process that was given something in *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line:
            found.append((int(process.name), line))
    return found


async def test_a_run_ends_with_a_summary_that_adds_up(bootstrap, tmp_path):
    """Both versions serve, v2 is plainly better, every event has an outcome, and a foreign cluster is left clean."""
    summary_path = tmp_path / "summary.json"
    before = await topics_of(bootstrap)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.demo", "--seconds", "12", "--json", str(summary_path)),
        env=os.environ | {"FAUST_ONNX_BROKER": bootstrap, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()

    assert process.returncode == 0, output
    summary = json.loads(summary_path.read_bytes())
    assert summary.keys() == KEYS | {"seconds", "verified"}
    assert summary["events_in"] == summary["predictions"] + summary["dead_letters"]
    assert summary["events_in"] == pytest.approx(1200, rel=0.1)
    assert summary["dead_letters"] == summary["events_in"] // 100
    assert summary["labels"] == summary["joined"] == summary["predictions"]
    assert summary["accuracy"].keys() == {"1", "2"}
    assert summary["accuracy"]["2"] >= summary["accuracy"]["1"] + 0.05
    assert 0 <= summary["swap_seconds"] < 5
    assert 0 < summary["latency_p50_s"] <= summary["latency_p99_s"]
    assert summary["verified"] is True
    assert "version 2 is live" in output
    assert "the data set starts over" in output
    assert await topics_of(bootstrap) - before <= {"__consumer_offsets", "__transaction_state"}
    assert list(tmp_path.iterdir()) == [summary_path]
    assert processes_with(tmp_path) == []


def in_a_terminal(arguments: list[str], *, until: bytes, interrupts: int, folder: Path) -> tuple[int, str]:
    """Exit code and screen of the demo in a pseudo-terminal, after Ctrl-C *interrupts* times once *until* is seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, sys.executable, "-m", "app.demo", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(folder), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "30"},
    )
    os.close(theirs)
    screen, sent, next_s = b"", 0, 0.0
    while True:
        try:
            data = os.read(ours, 65_536)
        except OSError:  # the last process of the terminal is gone
            break
        if not data:
            break
        screen += data
        if until in screen and sent < interrupts and time.monotonic() > next_s:
            os.write(ours, b"\x03")
            sent, next_s = sent + 1, time.monotonic() + 0.5
    os.close(ours)
    return process.wait(timeout=30), screen.decode(errors="replace")


def test_ctrl_c_in_a_terminal_drains_counts_and_ends_everything(tmp_path):
    """The live view runs on a Kafka of its own; one Ctrl-C ends the intake, the summary follows, nothing stays."""
    begun_s = time.monotonic()
    code, screen = in_a_terminal([], until=b"not_json", interrupts=1, folder=tmp_path)

    assert code == 0, screen[-3000:]
    assert time.monotonic() - begun_s < 60
    assert "summary, counted from the topics from offset 0" in screen
    assert "each has its outcome" in screen
    assert "all holds" in screen
    assert list(tmp_path.iterdir()) == []
    assert processes_with(tmp_path) == []


def test_a_second_ctrl_c_ends_it_at_once_and_leaves_nothing(tmp_path):
    """Who does not want to wait for the draining does not have to."""
    code, screen = in_a_terminal([], until=b"events in", interrupts=2, folder=tmp_path)

    assert code == 130, screen[-3000:]
    assert "aborted" in screen
    assert list(tmp_path.iterdir()) == []
    assert processes_with(tmp_path) == []


async def test_a_worker_that_dies_ends_the_run_with_its_last_words(bootstrap, tmp_path):
    """Exit code 1 and the end of the worker's log: nobody watches a view that stands still, or looks for a file."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.demo"),
        env=os.environ | {"FAUST_ONNX_BROKER": bootstrap, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = b""
    while b"predictions" not in output:
        output += await process.stdout.read(1024)
    (worker,) = [pid for pid, line in processes_with(tmp_path) if " worker " in line]
    os.kill(worker, signal.SIGKILL)
    output += (await process.communicate())[0]

    assert process.returncode == 1
    assert b"the worker ended with status -9; it logged last:" in output
    assert b"version in use" in output
    assert list(tmp_path.iterdir()) == []
    assert processes_with(tmp_path) == []


async def test_a_wrong_setting_is_told_before_anything_starts(bootstrap, tmp_path):
    """Exit code 2 and one line, as from every other command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.demo", "--seconds", "5"),
        env=os.environ | {"FAUST_ONNX_BROKER": bootstrap, "FAUST_ONNX_PENDING_MAX": "0", "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()

    assert process.returncode == 2, output
    assert "FAUST_ONNX_PENDING_MAX=0: must be" in output
