"""One Apache Kafka node of our own: started, stopped, killed, paused and started again on the same data."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.fetch import ensure_kafka
from app.embedded.java import find_java
from app.embedded.probe import answers, free_ports
from app.embedded.process import SupervisedProcess
from app.embedded.properties import CLIENT, HOST, BrokerConfig, Ports, render_properties
from app.errors import EmbeddedKafkaError

JVM_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)
_FORMAT_S = 60.0
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
        self, config: BrokerConfig, *, root: Path, temporary: bool, ports: Ports | None, start_s: float
    ) -> None:
        """Made by `start`."""
        self.root = root
        """The folder of this broker: its data, its properties, its log."""
        self.log = root / "broker.log"
        self._config = config
        self._start_s = start_s
        self._classpath = str(ensure_kafka() / "*")
        self._java = str(find_java())
        self._ports = ports
        self._is_temporary = temporary
        self._process = SupervisedProcess(log=self.log, folder=root if temporary else None)

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
        if data_dir is None:
            root = Path(tempfile.mkdtemp(prefix="faust-onnx-kafka-"))
        else:
            root = data_dir.absolute()
            root.mkdir(parents=True, exist_ok=True)
        config = BrokerConfig(data=root / "data", advertised=listeners or {}, extra=properties or {})
        ports = None
        if port is not None:
            controller, *others = free_ports(len(config.client_listeners))
            ports = Ports(controller, dict(zip(config.client_listeners, (port, *others), strict=True)))
        try:
            kafka = cls(config, root=root, temporary=data_dir is None, ports=ports, start_s=start_s)
        except BaseException:
            if data_dir is None:
                shutil.rmtree(root, ignore_errors=True)
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
        if self._ports is None:
            raise EmbeddedKafkaError("this embedded Kafka was never started")
        return {name: f"{HOST}:{port}" for name, port in self._ports.clients.items()}

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
        """SIGKILL, as a power cut would be; the data stay for `restart`."""
        if self.pid is None:
            return
        self._process.signal(signal.SIGKILL)
        if self._process.wait(30.0) is None:
            raise EmbeddedKafkaError(f"process {self.pid} does not end at SIGKILL")

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
        """End it at once and remove its temporary folder; a broker on a given data_dir is shut down in order."""
        try:
            if not self._is_temporary:
                self.stop()
        finally:
            self._process.close()

    def _start(self) -> None:
        """Format if this is the first start, then run until it answers; ports that are not yet ours are tried anew."""
        own_ports = self._ports is not None
        for attempt in range(1, _PORT_TRIES + 1):
            ports = self._ports if own_ports and self._ports else self._free_ports()
            properties = self.root / "server.properties"
            properties.write_text(render_properties(self._config.properties(ports)), encoding="utf-8")
            if not (self._config.data / "meta.properties").exists():
                self._format(properties)
            logged = self.log.stat().st_size
            self._ports = ports
            self._run("kafka.Kafka", str(properties))
            status = self._wait_until_it_answers(ports)
            if status is None:
                return
            if "Address already in use" not in self._log_since(logged) or attempt == _PORT_TRIES:
                raise EmbeddedKafkaError(self._failure(f"ended with status {status} before it answered"))

    def _free_ports(self) -> Ports:
        controller, *clients = free_ports(1 + len(self._config.client_listeners))
        return Ports(controller, dict(zip(self._config.client_listeners, clients, strict=True)))

    def _format(self, properties: Path) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._run("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={properties}")
        status = self._process.wait(_FORMAT_S)
        if status is None:
            self.kill()
        if status != 0:
            raise EmbeddedKafkaError(self._failure(f"could not be formatted (status {status})"))

    def _run(self, main_class: str, *arguments: str) -> None:
        self._process.start([self._java, *JVM_OPTIONS, "-cp", self._classpath, main_class, *arguments])

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

    def _log_since(self, position: int) -> str:
        with self.log.open("rb") as file:
            file.seek(position)
            return file.read().decode(errors="replace")

    def _failure(self, what: str) -> str:
        last = "\n".join(f"    {line}" for line in self._log_since(0).splitlines()[-_LOG_LINES:])
        return (
            f"the embedded Kafka in {self.root} {what}. It logged last:\n{last}\n"
            "Is there memory (600 MB) and disk left, and is no other broker using this folder? "
            "To use a Kafka that you have, set FAUST_ONNX_BROKER=host:port."
        )
