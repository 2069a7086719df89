"""One Apache Kafka node of our own: started, stopped, killed, paused and started again on the same data."""

from __future__ import annotations

import signal
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.fetch import ensure_kafka
from app.embedded.folder import BrokerFolder
from app.embedded.java import Java, find_java
from app.embedded.lock import read_lock
from app.embedded.probe import answers, free_ports, is_free
from app.embedded.process import SupervisedProcess
from app.embedded.properties import CLIENT, HOST, BrokerConfig, Ports, render_properties
from app.errors import EmbeddedKafkaError

JVM_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    # On two cores, up in 1.7 s (format included) against 2.2 s with the optimising compiler or with G1, and under load
    # it takes no more processor time than they do.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # Files of its own in the system's temporary folder would stay there after a SIGKILL.
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)
_FORMAT_S = 60.0
_KILL_S = 30.0
_POLL_S = 0.05
_PORT_TRIES = 5
_LOG_LINES = 20


class EmbeddedKafka:
    """A running broker; a context manager that leaves nothing behind but a *data_dir* that it was given.

    >>> with EmbeddedKafka.start() as kafka:  # doctest: +SKIP
    ...     kafka.bootstrap
    '127.0.0.1:24411'
    """

    def __init__(
        self, config: BrokerConfig, folder: BrokerFolder, command: list[str], *, port: int | None, start_s: float
    ) -> None:
        """Made by `start`; *command* runs a main class of Kafka."""
        self._config = config
        self._folder = folder
        self._port = port
        self._start_s = start_s
        self._ports: Ports | None = None
        self._command = command
        self._process = SupervisedProcess(log=folder.log, folder=folder.root if folder.temporary else None)

    @classmethod
    def start(
        cls,
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        properties: Mapping[str, str] | None = None,
        listeners: Mapping[str, str | None] | None = None,
        start_s: float = 60.0,
    ) -> Self:
        """A broker that answers.

        data_dir: where topics are kept for the next start; without it in a temporary folder that goes with the broker.
        port: of the client listener; any free one without it.
        properties: broker settings over ours, such as `{"message.max.bytes": "2000000"}`.
        listeners: further client listeners, name to the `host:port` that clients are told (None for its own address),
            so that a proxy can stand between; `addresses` tells where each listens.
        start_s: how long it may take to answer.

        EmbeddedKafkaError says what Kafka logged last when it did not start.
        """
        if port is not None and not is_free(port):
            raise EmbeddedKafkaError(f"port {port} of {HOST} is taken: give another, or none to have a free one found")
        java, jars = find_java(), ensure_kafka()
        folder = BrokerFolder.at(data_dir)
        try:
            config = BrokerConfig(data=folder.data, advertised=listeners or {}, extra=properties or {})
            kafka = cls(config, folder, _command(java, jars, folder), port=port, start_s=start_s)
        except BaseException:
            folder.remove()
            raise
        try:
            kafka._start()
        except BaseException:
            kafka.close()
            raise
        return kafka

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """The `host:port` for clients."""
        return self.addresses[CLIENT]

    @property
    def addresses(self) -> dict[str, str]:
        """Where each client listener listens, by name, whatever it advertises."""
        ports = self._ports.clients if self._ports else {}
        return {name: f"{HOST}:{port}" for name, port in ports.items()}

    @property
    def root(self) -> Path:
        """The folder of this broker."""
        return self._folder.root

    @property
    def log(self) -> Path:
        """The file with what Kafka logged."""
        return self._folder.log

    @property
    def pid(self) -> int | None:
        """Process number of the JVM; None when it is stopped."""
        return self._process.pid

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """Shut down in order (SIGTERM), or kill it when that takes too long; the data stay for `restart`."""
        if self.pid is None:
            return
        self._process.signal(signal.SIGCONT)
        self._process.signal(signal.SIGTERM)
        if self._process.wait(timeout_s) is None:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would be; the data stay for `restart`."""
        if self.pid is None:
            return
        self._process.signal(signal.SIGKILL)
        if self._process.wait(_KILL_S) is None:
            raise EmbeddedKafkaError(f"process {self.pid} has not ended {_KILL_S:g} s after SIGKILL")

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status if it ends within *timeout_s*, None if it still runs."""
        return self._process.wait(timeout_s)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers, until `resume`."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: goes on where `pause` held it."""
        self._process.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start again on the same ports and data, after `stop` or `kill`, or stopping it first."""
        self.stop()
        self._start()

    def close(self) -> None:
        """End it: a temporary folder goes at once, a broker on a data_dir shuts down in order. Again is no harm."""
        if self._process.closed:
            return
        try:
            if not self._folder.temporary:
                self.stop()
        finally:
            self._process.close()
            self._folder.release()

    def _start(self) -> None:
        """Run until it answers; when a free port was taken by another before Kafka had it, try again."""
        if self._process.closed:
            raise EmbeddedKafkaError("this embedded Kafka was closed: start another")
        known = self._ports
        for _ in range(_PORT_TRIES):
            ports = known or self._choose_ports()
            self._folder.properties.write_text(render_properties(self._config.properties(ports)), encoding="utf-8")
            if not self._folder.formatted:
                self._format()
            before = self._folder.log_size()
            self._run("kafka.Kafka", str(self._folder.properties))
            status = self._wait_until_it_answers(ports)
            if status is None:
                self._ports = ports
                return
            if "Address already in use" not in self._folder.logged_since(before):
                break
        raise EmbeddedKafkaError(self._failure(f"ended with status {status} before it answered"))

    def _choose_ports(self) -> Ports:
        names = self._config.client_listeners
        controller, *clients = free_ports(1 + len(names))
        chosen = dict(zip(names, clients, strict=True))
        return Ports(controller, chosen if self._port is None else chosen | {CLIENT: self._port})

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._run(
            "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={self._folder.properties}"
        )
        status = self._process.wait(_FORMAT_S)
        if status is None:
            self.kill()
        if status != 0:
            raise EmbeddedKafkaError(self._failure(f"could not be formatted (status {status})"))

    def _run(self, main_class: str, *arguments: str) -> None:
        self._process.start([*self._command, main_class, *arguments])

    def _wait_until_it_answers(self, ports: Ports) -> int | None:
        """None once it answers, or the exit status of a broker that ended instead."""
        deadline = time.monotonic() + self._start_s
        while time.monotonic() < deadline:
            status = self._process.wait(_POLL_S)
            if status is not None:
                return status
            if answers(ports.clients[CLIENT]):
                return None
        failure = self._failure(f"did not answer within {self._start_s:g} s")
        self.kill()
        raise EmbeddedKafkaError(failure)

    def _failure(self, what: str) -> str:
        lines = [line for line in self._folder.logged_since().splitlines() if not line.startswith("\tat ")]
        last = "\n".join(f"    {line}" for line in lines[-_LOG_LINES:])
        return (
            f"the embedded Kafka in {self.root} {what}. It logged last:\n{last}\n"
            "Is there memory (600 MB) and disk left? To use a Kafka that you have, set FAUST_ONNX_BROKER=host:port."
        )


def _command(java: Java, jars: Path, folder: BrokerFolder) -> list[str]:
    # The locked jars by name: whatever else lies in the cache is not run.
    classpath = ":".join(str(jars / jar.file) for jar in read_lock().jars)
    unpack_into = f"-Djava.io.tmpdir={folder.unpacked}"
    return [str(java.path), *java.options, *JVM_OPTIONS, unpack_into, "-cp", classpath]
