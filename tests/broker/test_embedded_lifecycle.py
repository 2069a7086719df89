"""The embedded broker keeps what it should keep, and leaves nothing when it ends, however it ends."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from app.embedded import EmbeddedKafka, broker
from app.embedded.probe import answers
from app.errors import EmbeddedKafkaError

pytestmark = pytest.mark.broker


def _topics(kafka: EmbeddedKafka) -> set[str]:
    return set(AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=20).topics)


def _write(kafka: EmbeddedKafka, topic: str) -> None:
    """Make *topic* with one acknowledged record."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    errors = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"kept", on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert errors == [None]


def _records(kafka: EmbeddedKafka, topic: str) -> int:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    partition = TopicPartition(topic, 0)
    return admin.list_offsets({partition: OffsetSpec.latest()})[partition].result(20).offset


def _port(kafka: EmbeddedKafka) -> int:
    return int(kafka.bootstrap.rpartition(":")[2])


def _alive(pid: int) -> bool:
    """True if the process runs; one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _within(seconds: float, condition) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_topics_survive_a_stop_and_a_kill(start_kafka):
    """After SIGTERM as after SIGKILL the broker comes back on the same address with every acknowledged record."""
    kafka = start_kafka()
    address, first = kafka.bootstrap, kafka.pid
    _write(kafka, "a")
    kafka.stop()
    assert kafka.pid is None
    assert not _alive(first)
    kafka.restart()
    kafka.kill()
    kafka.restart()
    assert kafka.bootstrap == address
    assert kafka.pid != first
    assert _records(kafka, "a") == 1


def test_paused_broker_is_silent_until_it_is_resumed(start_kafka):
    """SIGSTOP leaves the port open without an answer; SIGCONT brings back the same broker."""
    kafka = start_kafka()
    pid = kafka.pid
    kafka.pause()
    with socket.create_connection(("127.0.0.1", _port(kafka)), timeout=2):
        assert not answers(_port(kafka), timeout_s=0.5)
    kafka.resume()
    assert _within(20, lambda: answers(_port(kafka)))
    assert kafka.pid == pid
    kafka.pause()
    kafka.stop()
    assert not _alive(pid)


def test_given_folder_is_kept_and_used_again(start_kafka, tmp_path):
    """Topics in a data_dir are there for the next broker, on another port; meanwhile nobody else may use it."""
    first = start_kafka(data_dir=tmp_path / "kafka")
    _write(first, "a")
    with pytest.raises(EmbeddedKafkaError, match="another embedded Kafka is using"):
        EmbeddedKafka.start(data_dir=tmp_path / "kafka")
    assert answers(_port(first))
    first.close()
    second = start_kafka(data_dir=tmp_path / "kafka")
    assert second.bootstrap != first.bootstrap
    assert _records(second, "a") == 1


def test_closed_broker_leaves_nothing_and_stays_closed():
    """When the block ends, the JVM, its supervisor and the temporary folder are gone; it cannot be started again."""
    with EmbeddedKafka.start() as kafka:
        pids = [kafka.pid, kafka._process.supervisor_pid]
        assert kafka.log.is_relative_to(kafka.root)
    assert not any(map(_alive, pids))
    assert not kafka.root.exists()
    kafka.close()
    with pytest.raises(EmbeddedKafkaError, match="was closed"):
        kafka.restart()


def test_further_listener_tells_clients_the_address_of_the_proxy(start_kafka):
    """Who comes by the PROXIED listener is sent to the proxy, who comes by the usual one is not."""
    kafka = start_kafka(listeners={"PROXIED": "127.0.0.1:14999"})
    told = AdminClient({"bootstrap.servers": kafka.addresses["PROXIED"]}).list_topics(timeout=20).brokers[1]
    assert (told.host, told.port) == ("127.0.0.1", 14999)
    assert kafka.addresses["PROXIED"] != "127.0.0.1:14999"
    told = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=20).brokers[1]
    assert f"{told.host}:{told.port}" == kafka.bootstrap


def test_properties_reach_the_broker(start_kafka):
    """A setting that the caller gives is in force, and topics do not appear by being asked for."""
    kafka = start_kafka(properties={"message.max.bytes": "123456"})
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    settings = admin.describe_configs([resource])[resource].result(20)
    assert settings["message.max.bytes"].value == "123456"
    admin.list_topics("nobody-made-this", timeout=20)
    assert "nobody-made-this" not in _topics(kafka)


def test_failed_start_shows_what_kafka_said(tmp_path):
    """Settings that Kafka refuses, at the first start or later, come back in its own words; the folder is free."""
    refused = {"log.cleaner.threads": "banana"}
    said = "(?s){}.*Invalid value banana for configuration log.cleaner.threads.*FAUST_ONNX_BROKER"
    with pytest.raises(EmbeddedKafkaError, match=said.format("could not be formatted")) as caught:
        EmbeddedKafka.start(data_dir=tmp_path, properties=refused)
    assert "\tat " not in str(caught.value)
    EmbeddedKafka.start(data_dir=tmp_path).close()
    with pytest.raises(EmbeddedKafkaError, match=said.format("ended with status 1 before it answered")):
        EmbeddedKafka.start(data_dir=tmp_path, properties=refused)
    EmbeddedKafka.start(data_dir=tmp_path).close()


def test_broker_that_does_not_answer_in_time_is_ended(tmp_path):
    """The time to start is bounded; the message says so, and the folder is free again."""
    with pytest.raises(EmbeddedKafkaError, match=r"did not answer within 0\.05 s"):
        EmbeddedKafka.start(data_dir=tmp_path, start_s=0.05)
    EmbeddedKafka.start(data_dir=tmp_path).close()


def test_taken_port_is_refused_and_a_lost_one_replaced(start_kafka, monkeypatch):
    """A port that was asked for and is taken is named; one that was only found, and lost meanwhile, is found anew."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedKafkaError, match=f"port {port} of 127.0.0.1 is taken"):
            EmbeddedKafka.start(port=port)
        real, answered = broker.free_ports, []

        def losing_the_first(n: int) -> list[int]:
            answered.append([*real(n - 1), port] if not answered else real(n))
            return answered[-1]

        monkeypatch.setattr(broker, "free_ports", losing_the_first)
        kafka = start_kafka()
    assert len(answered) == 2
    assert _port(kafka) == answered[1][1]


_PARENT = """
import sys
from app.embedded import EmbeddedKafka
kafka = EmbeddedKafka.start()
print(kafka.pid, kafka._process.supervisor_pid, kafka.root, flush=True)
sys.stdin.read()
"""


def _started_elsewhere() -> tuple[subprocess.Popen[str], int, int, Path]:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    jvm, supervisor, root = parent.stdout.readline().split()
    return parent, int(jvm), int(supervisor), Path(root)


def _ended(parent: subprocess.Popen[str]) -> None:
    parent.stdin.close()
    parent.stdout.close()
    parent.wait(20)


@pytest.mark.fault
@pytest.mark.parametrize("paused", [False, True])
def test_nothing_is_left_when_the_parent_is_killed(paused):
    """SIGKILL of the process that started the broker ends the JVM, a paused one too, and removes its folder."""
    parent, jvm, supervisor, root = _started_elsewhere()
    assert root.exists()
    if paused:
        os.kill(jvm, signal.SIGSTOP)
    parent.kill()
    _ended(parent)
    assert _within(10, lambda: not _alive(jvm) and not _alive(supervisor) and not root.exists())


@pytest.mark.fault
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's parent-death signal is Linux's")
def test_jvm_ends_with_its_supervisor():
    """SIGKILL of the supervisor itself takes the JVM with it."""
    parent, jvm, supervisor, root = _started_elsewhere()
    os.kill(supervisor, signal.SIGKILL)
    assert _within(10, lambda: not _alive(jvm))
    _ended(parent)
    # Only the supervisor could have removed the folder.
    shutil.rmtree(root)


@pytest.mark.fault
def test_nothing_is_left_when_the_parent_is_killed_while_starting(tmp_path):
    """SIGKILL in the middle of formatting or of the start leaves no process and no folder."""
    for kill_at in ("StorageTool", "kafka.Kafka"):
        parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, env=_env(tmp_path))
        try:
            assert _within(30, lambda kill_at=kill_at: _commands_with(str(tmp_path), kill_at)), kill_at
        finally:
            parent.kill()
            parent.stdin.close()
            parent.wait(20)
        assert _within(10, lambda: not _commands_with(str(tmp_path)) and not list(tmp_path.iterdir())), kill_at


def _commands_with(*words: str) -> list[str]:
    ps = shutil.which("ps") or pytest.skip("needs ps")
    shown = subprocess.run([ps, "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if all(word in line for word in words)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_command_runs_until_it_is_told_to_end(number, tmp_path, eventually):
    """`python -m app.embedded` prints and files its address, nothing else, and ends in order with all it started."""
    ready = tmp_path / "ready"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.embedded", "--ready-file", str(ready), stdout=-1, stderr=-1, env=_env(tmp_path)
    )
    await eventually(lambda: ready.exists() or process.returncode is not None, deadline_s=60)
    address = ready.read_text()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    assert answers(int(address.rpartition(":")[2]))
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out.decode(), err) == (0, f"{address}\n", b"")
    assert not ready.exists()
    assert list(tmp_path.iterdir()) == []


def _env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def test_command_says_what_is_wrong_in_one_line():
    """A start that fails ends with code 1 and the reason on standard error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "app.embedded", "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"port {port} of 127.0.0.1 is taken: give another, or none to have a free one found\n"
