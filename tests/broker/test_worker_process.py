"""How a worker starts and ends: both ways of starting, among hostile environments, under load, with a wrong setting."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

import pytest

from tests.programs import ROOT, environment

pytestmark = pytest.mark.broker

HOSTILE = {
    "WEB_PORT": "tcp://10.0.0.1:80",
    "WEB_HOST": "nowhere.invalid",
    "WEB_BIND": "300.300.300.300",
    "WEB_TRANSPORT": "smoke://signals",
    "TIMEZONE": "nowhere",
    "BROKER_URL": "kafka://127.0.0.1:1",
    "BROKER_CREDENTIALS": "secret",
    "BROKER_CLIENT_ID": "other",
    "APP_DATADIR": "/proc/nowhere",
    "APP_ID": "other",
    "APP_VERSION": "seven",
    "NODE_HOSTNAME": "tcp://10.0.0.2:90",
    "NODE_CACHE_URL": "nothing://",
    "LOGGING": "{}",
    "LOGGING_CONFIG": "nothing",
    "STORE_URL": "aerospike://",
    "TABLE_CLEANUP_INTERVAL": "never",
    "TOPIC_PARTITIONS": "many",
    "CONSUMER_MAX_FETCH_SIZE": "much",
    "PRODUCER_ACKS": "some",
    "PROCESSING_GUARANTEE": "none",
    "APP_ORIGIN": "nowhere.at.all",
    "APP_AUTODISCOVER": "yes",
    "FAUST_ONNX_PORT": "tcp://10.0.0.3:8080",
    "FAUST_ONNX_SERVICE_HOST": "10.0.0.3",
}
BY_FAUST = ["-m", "faust", "-A", "app.worker", "worker", "-l", "info"]
BY_US = ["-m", "app.cli", "worker"]


def settings_of(one, **settings):
    """The environment of a worker of *one*, and what this process has otherwise."""
    given = {
        "broker": one.bootstrap,
        "pipelines": one.name,
        "models_dir": one.models_dir,
        "app_id": f"app-{one.name}",
        "state_dir": one.folder / "state",
        "http": "127.0.0.1:0",
    }
    return environment(**given | settings)


@contextmanager
def running(command, environ, log_path):
    """A process of ours for the length of a block."""
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def run_to_end(command, environ, timeout_s=30):
    """Exit code and output of a process of ours."""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, *command],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("command", [BY_US, BY_FAUST], ids=["faust-onnx", "faust"])
async def test_both_ways_of_starting_work_among_hostile_names(command, pipeline, rng, read_all, eventually):
    """Names that others put into the environment change nothing: it scores, is ready, and ends with 0 at SIGTERM."""
    one = pipeline()
    await one.create()
    await one.publish()
    port, log_path = free_port(), one.folder / "log"
    environ = settings_of(one, http=f"127.0.0.1:{port}") | HOSTILE
    with running(command, environ, log_path) as process:

        def ready():
            assert process.poll() is None, log_path.read_text()
            with suppress(urllib.error.URLError, ConnectionError):
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
            return False

        await eventually(lambda: asyncio.to_thread(ready), deadline_s=40, every_s=0.1)
        await one.feed(20, rng=rng, labels=0)

        async def all_have_outcomes():
            made = [await read_all(topic) for topic in (one.topics.predictions, one.topics.dead_letters)]
            return sum(map(len, made)) == 20

        await eventually(all_have_outcomes, every_s=0.2)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0, log_path.read_text()
    text = log_path.read_text()
    assert "Traceback" not in text
    assert "never retrieved" not in text
    [line] = [line for line in text.splitlines() if "version in use" in line]
    assert "info" in line.lower()  # our decisions are logged as what they are, in Faust's form too
    assert not (ROOT / "app-data").exists()


async def test_sigterm_under_load_ends_in_time_and_loses_nothing(pipeline, rng, read_all, eventually):
    """Told to stop at full speed it ends with 0 within 10 s; the next worker goes on without a copy."""
    one = pipeline()
    await one.create()
    await one.publish()
    first = await one.start_worker().ready()
    feeding = asyncio.ensure_future(one.feed(6000, rng=rng, per_s=2500))
    await asyncio.sleep(0.8)
    began = time.monotonic()
    first.signal(signal.SIGTERM)
    assert await first.wait(20) == 0, first.tail()
    assert time.monotonic() - began < 10
    second = await one.start_worker().ready()
    await feeding

    async def counted():
        _, answer = await second.get("/api/performance")
        made = [await read_all(topic) for topic in (one.topics.predictions, one.topics.dead_letters)]
        ends = {record.partition: record.offset + 1 for record in made[0]}
        _, status = await second.get("/api/status")
        feedback = status["pipelines"][one.name]["feedback"]
        done = {int(n): each["positions"]["predictions"] for n, each in feedback.items()}
        return sum(map(len, made)) >= 6000 and done == ends and answer["total"]["predicted"] == len(made[0])

    await eventually(counted, deadline_s=30, every_s=0.3)
    assert all(word not in first.log.read_text() for word in ("Traceback", "never retrieved"))

    async def labels_are_counted():
        ends = {record.partition: record.offset + 1 for record in await read_all(one.topics.labels)}
        ledgers = [json.loads(r.value) for r in await read_all(one.topics.performance) if r.key.startswith(b"ledger")]
        done = {each["partition"]: each["positions"]["labels"] for each in ledgers}
        return done == ends

    await eventually(labels_are_counted, deadline_s=20, every_s=0.3)
    await one.verify("--no-faults")


@pytest.mark.parametrize("command", [BY_US, BY_FAUST], ids=["faust-onnx", "faust"])
async def test_a_busy_http_port_ends_the_worker_with_2(command, pipeline):
    """It says which address, and how to choose another; no traceback, and nothing was consumed."""
    one = pipeline()
    await one.create()
    await one.publish()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, text = await run_to_end(command, settings_of(one, http=address))
    assert code == 2, text
    assert f"http = {address}" in text
    assert "FAUST_ONNX_HTTP" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"pipelines": ""}, 2, "FAUST_ONNX_PIPELINES=fraud"),
        ({"pipelines": "nothere"}, 2, "nothere/contract.toml"),
        ({"partitions": "0"}, 2, "FAUST_ONNX_PARTITIONS=0"),
        ({"state_dir": "/proc/nowhere"}, 2, "FAUST_ONNX_STATE_DIR"),
        ({"create_topics": "false"}, 2, "topics create"),
        ({"broker": "127.0.0.1:1"}, 1, "127.0.0.1:1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_what_is_wrong_at_the_start_is_said_in_a_sentence(settings, code, words, pipeline):
    """Exit code 2 for a setting, 1 for a broker that does not answer; one line each, never a traceback."""
    one = pipeline()
    began = time.monotonic()
    status, text = await run_to_end(BY_US, settings_of(one, **settings))
    assert status == code, text
    assert words in text
    assert "Traceback" not in text
    assert text.count("error: ") == 1
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [({"pipelines": ""}, 2, "FAUST_ONNX_PIPELINES"), ({"broker": "127.0.0.1:1"}, 1, "127.0.0.1:1")],
    ids=["pipelines", "broker"],
)
async def test_fausts_own_command_line_says_it_in_a_sentence_too(settings, code, words, pipeline):
    """The same exit codes, and no traceback of an import."""
    one = pipeline()
    status, text = await run_to_end(BY_FAUST, settings_of(one, **settings))
    assert status == code, text
    assert words in text
    assert "Traceback" not in text


async def test_the_ready_file_appears_when_it_is_ready_and_not_before(pipeline, eventually):
    """An old file is removed at the start; a worker without a model is alive, says why it is not ready, and waits."""
    one = pipeline()
    await one.create()
    ready_file = one.folder / "w0.ready"
    ready_file.write_text("old")
    port = free_port()
    worker = one.start_worker(http=f"127.0.0.1:{port}")
    await eventually(lambda: not ready_file.exists())
    url = f"http://127.0.0.1:{port}"

    def status_of(path):
        try:
            return urllib.request.urlopen(url + path, timeout=5).status  # noqa: S310  our own worker
        except urllib.error.HTTPError as error:
            return error.code
        except (urllib.error.URLError, ConnectionError):
            return 0

    await eventually(lambda: asyncio.to_thread(status_of, "/healthz"), deadline_s=30)
    await eventually(lambda: "partitions assigned" in worker.log.read_text(), deadline_s=30)
    assert await asyncio.to_thread(status_of, "/healthz") == 200
    assert await asyncio.to_thread(status_of, "/readyz") == 503
    assert not ready_file.exists()
    await one.publish()
    await worker.ready(20)
    assert json.loads(ready_file.read_text()) == {"http": url, "pid": worker.process.pid}
    assert await asyncio.to_thread(status_of, "/readyz") == 200
