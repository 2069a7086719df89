"""The systems that are measured: how each is started on the same features topic with the same model."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import Running, Unfit

if TYPE_CHECKING:
    from collections.abc import Collection

    from benchmarks.cluster import Cluster
    from benchmarks.workloads import Workload

OURS = "ours"
OURS_EXACTLY_ONCE = "ours-exactly-once"
LOOP = "aiokafka-loop"
KAFKA_STREAMS = "kafka-streams-ort"
ONE_BY_ONE = "-one-by-one"
"""Ends the name of a system that is written as its own guide has it, one record after the other."""
PEERS = {
    "stock-faust": "benchmarks.peers.stock_faust",
    LOOP: "benchmarks.peers.aiokafka_loop",
    "confluent-loop": "benchmarks.peers.confluent_loop",
}
"""Programs that need no more than our own environment has."""
GUESTS = {
    "quix-streams": "benchmarks.peers.quix_streams",
    "bytewax": "benchmarks.peers.bytewax_flow",
    f"quix-streams{ONE_BY_ONE}": "benchmarks.peers.quix_one_by_one",
}
"""Programs with an environment of their own, so that the product's stays as it is."""
EVERYWHERE = (OURS, OURS_EXACTLY_ONCE, *PEERS)
SYSTEMS = (*EVERYWHERE, *GUESTS, KAFKA_STREAMS, f"{KAFKA_STREAMS}{ONE_BY_ONE}")
FOR_ALL = "a"
"""Letters of the workloads that all systems run."""
IN_BATCHES = "be"
"""Of those that all run but the ones that take one record after the other; on the rest those do that run everywhere."""
OF_ROWS = (OURS, OURS_EXACTLY_ONCE, LOOP, "confluent-loop")
"""Systems that make many predictions of one record."""
COMMAND = (sys.executable, str(Path(sys.executable).with_name("faust-onnx")))


@dataclass(frozen=True)
class Job:
    """One system on one features topic: everything it writes and keeps is its own and new."""

    system: str
    name: str
    """Names its consumer group and topics; never used twice on one Kafka."""
    features: str
    """The topic of the records."""
    workload: Workload
    folder: Path
    label_horizon_s: int = 3600
    http: str = "127.0.0.1:0"
    """Where our worker listens."""

    @property
    def is_ours(self) -> bool:
        """Whether it is our worker, in whatever mode."""
        return self.system in (OURS, OURS_EXACTLY_ONCE)

    @property
    def model(self) -> Path:
        """The ONNX file that it scores with."""
        return self.workload.trained_model()

    @property
    def predictions(self) -> str:
        """The topic that it writes its predictions to."""
        return f"{self.name}.predictions"

    @property
    def labels(self) -> str:
        """The topic that it reads labels from; our worker only."""
        return f"{self.name}.labels"

    @property
    def ready_file(self) -> Path:
        """Where our worker says that it is ready."""
        return self.folder / self.name / "ready"


def systems_on(workload: Workload) -> tuple[str, ...]:
    """The systems that are compared on *workload*."""
    if workload.rows_per_record > 1:
        return OF_ROWS
    if workload.letter in FOR_ALL:
        return SYSTEMS
    if workload.letter in IN_BATCHES:
        return tuple(system for system in SYSTEMS if not system.endswith(ONE_BY_ONE))
    return EVERYWHERE


def prepare(systems: Collection[str], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Install, fetch and compile what *systems* need beside our own environment, so that no run waits for it.

    Given are what cannot be had here, each system with its installer's message, and the versions of what can.
    EmbeddedKafkaError if Kafka Streams cannot.
    """
    missing: dict[str, str] = {}
    versions: dict[str, str] = {}
    if any(system in GUESTS for system in systems):
        from benchmarks.peers import environment as guests  # noqa: PLC0415  who measures no guest needs none of it

        guests.python()
        missing = {system: why for system, why in guests.missing().items() if system in systems}
        versions = guests.versions("quixstreams", "bytewax")
    if any(system.startswith(KAFKA_STREAMS) for system in systems):
        from benchmarks.peers import kafka_streams  # noqa: PLC0415  the same

        kafka_streams.command(folder)
    return missing, versions


def command(system: str, folder: Path) -> list[str]:
    """How the peer *system* is started, to which its six arguments are appended; it may write in *folder*."""
    if system in PEERS:
        return [sys.executable, "-m", PEERS[system]]
    if system in GUESTS:
        from benchmarks.peers import environment as guests  # noqa: PLC0415  see above

        return [str(guests.python()), "-m", GUESTS[system]]
    if system.startswith(KAFKA_STREAMS):
        from benchmarks.peers import kafka_streams  # noqa: PLC0415  see above

        return kafka_streams.command(folder, batch=1 if system.endswith(ONE_BY_ONE) else None)
    raise Unfit(f"{system} is none of {', '.join(SYSTEMS)}")


def start(job: Job, cluster: Cluster) -> Running:
    """Start the system of *job*; it scores until it is killed."""
    folder = job.folder / job.name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    if job.is_ours:
        publish(job, cluster)
        return start_worker(job, cluster)
    cluster.create(job.predictions)
    arguments = (cluster.broker, job.features, job.predictions, str(job.model), job.name, job.workload.shape)
    return Running([*command(job.system, folder), *arguments], log=log)


def environment(job: Job, cluster: Cluster) -> dict[str, str]:
    """The settings of our worker; all others are the defaults."""
    folder = job.folder / job.name
    return {
        "FAUST_ONNX_BROKER": cluster.broker,
        "FAUST_ONNX_PIPELINES": job.name,
        "FAUST_ONNX_MODELS_DIR": str(folder / "models"),
        "FAUST_ONNX_STATE_DIR": str(folder / "state"),
        "FAUST_ONNX_APP_ID": job.name,
        "FAUST_ONNX_HTTP": job.http,
        "FAUST_ONNX_PARTITIONS": str(cluster.partitions),
        "FAUST_ONNX_DELIVERY": "exactly_once" if job.system == OURS_EXACTLY_ONCE else "at_least_once",
    }


def publish(job: Job, cluster: Cluster) -> None:
    """Write the contract of *job*, make its topics and put its model into force, as a user would."""
    models = job.folder / job.name / "models" / job.name
    models.mkdir(parents=True)
    contract = job.workload.contract(job.name, job.features, label_horizon_s=job.label_horizon_s)
    (models / "contract.toml").write_text(contract)
    steps = (
        ["topics", "create", "--pipeline", job.name],
        ["model", "publish", str(job.model), "--pipeline", job.name, "--version", "1", "--activate", "--json"],
    )
    log = job.folder / job.name / "publish.log"
    for step in steps:
        with Running([*COMMAND, *step], log=log, environment=environment(job, cluster)) as running:
            status = running.wait(60)
        if status:
            raise Unfit(f"faust-onnx {' '.join(step[:2])} ended with status {status}\n{log.read_text()}")


def start_worker(job: Job, cluster: Cluster) -> Running:
    """Start our worker; for the second time on the same state, too."""
    job.ready_file.unlink(missing_ok=True)
    arguments = [*COMMAND, "worker", "--ready-file", str(job.ready_file)]
    return Running(arguments, log=job.folder / job.name / "log", environment=environment(job, cluster))
