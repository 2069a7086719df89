"""Where a worker's time goes: processor time per event of each stage by itself, one process, no Kafka, no other thread.

    python -m benchmarks.stages [--workload a] [--batch 4000]

It finds the stage that is slow. It does not add up to what a worker takes: fetching, sending and the switches between
threads come on top.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.producer.message_accumulator import BatchBuilder
from rich.console import Console
from rich.table import Table

from app.columns import RecordColumns
from app.features import Contract, decoder_of
from app.feedback.decode import decode_predictions
from app.feedback.ledger import Ledger
from app.feedback.store import RocksdictStore
from app.performance.tallies import Tallies
from app.scoring import Scorer, score_batch
from app.transport.packing import Packer
from app.transport.producer import PACKED_BYTES
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.records import OutRecord, Record
    from benchmarks.workloads import Workload

PIPELINE = "stages"


@dataclass(slots=True)
class Fetched:
    """A record as aiokafka hands it over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Stopwatch:
    """Processor time by name of the stage."""

    def __init__(self) -> None:
        self.took_s: dict[str, list[float]] = {}
        self._since_s = time.process_time()

    def start(self) -> None:
        """Forget what came before."""
        self._since_s = time.process_time()

    def lap(self, stage: str) -> None:
        """What passed since the last lap belongs to *stage*."""
        now_s = time.process_time()
        self.took_s.setdefault(stage, []).append(now_s - self._since_s)
        self._since_s = time.process_time()


def batches(workload: Workload, size: int, n: int) -> Iterator[list[Record]]:
    """*n* batches of *size* events of one partition, a millisecond for every fifty records."""
    make = workload.record_maker()
    size = max(1, size // workload.rows_per_record)
    for start in range(0, size * n, size):
        yield [
            Fetched("features", 0, offset, 1_700_000_000_000 + offset // 50, *make(offset), ())
            for offset in range(start, start + size)
        ]


def built(records: Sequence[OutRecord]) -> None:
    """Pack *records* as the producer does."""
    if isinstance(records, RecordColumns):
        packer = Packer(records)
        for rows in packer.cuts(PACKED_BYTES):
            packer.batch(rows).bytes_of(1, 1, 1, transactional=False)
        return
    builder = BatchBuilder(batch_size=1 << 30, compression_type=0, is_transactional=False)
    for record in records:
        builder.append(key=record.key, value=record.value, timestamp=record.timestamp_ms, headers=record.headers)


def run(workload: Workload, size: int, n: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each stage for each of *n* batches."""
    path = folder / "contract.toml"
    path.write_text(workload.contract(PIPELINE, "features"))
    loaded = Contract.load(path)
    scorer = Scorer.load(workload.trained_model().read_bytes(), loaded, version=1, sha256="0" * 64)
    decoder, rows = decoder_of(loaded, max_record_bytes=1 << 20), dict[str, bytes]()
    tallies = Tallies(rows, loaded, 0)
    ledger = Ledger(RocksdictStore(folder / "ledger"), loaded, waypoints=tallies.waypoints())
    watch, n_seen = Stopwatch(), 0
    for records in batches(workload, size, n):
        watch.start()
        decoded = decoder.decode(records)
        watch.lap("decode")
        if workload.shape != "mixed":  # no matrix holds texts; a model takes them by column
            decoded.matrix()
        watch.lap("matrix")
        scorer.score(decoded)
        watch.lap("score (matrix included)")
        scored = score_batch(records, decoder, lambda _: scorer, now_s=1.7e9)
        watch.lap("score_batch: decode, score, encode")
        built(scored.predictions)
        watch.lap("pack for sending")
        back: list[Record] = [
            Fetched("stages.predictions", 0, offset, made.timestamp_ms, made.key, made.value, made.headers)
            for offset, made in enumerate(scored.predictions, n_seen)
        ]
        n_seen += len(back)
        watch.start()
        seen, _ = decode_predictions(back, loaded, max_record_bytes=1 << 20)
        watch.lap("feedback: decode predictions")
        contributions = ledger.add_predictions(seen, n_seen)
        watch.lap("feedback: ledger")
        tallies.apply(contributions, ledger.positions, event_time_s=ledger.event_time_s)
        watch.lap("feedback: tallies")
        ledger.checkpoint()
        watch.lap("feedback: checkpoint (RocksDB)")
    ledger.close()
    return watch.took_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.stages", description="Processor time per event, by stage.")
    parser.add_argument("--workload", choices=WORKLOADS, default="a", help="which records and model (a)")
    parser.add_argument("--batch", type=int, default=4000, help="events in a batch (4,000)")
    parser.add_argument("--batches", type=int, default=50, help="how many batches (50)")
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.workload]
    with tempfile.TemporaryDirectory(prefix="faust-onnx-bench-") as folder:
        took_s = run(workload, arguments.batch, arguments.batches, Path(folder))
    title = f"({workload.letter}) {workload.about}; batches of {arguments.batch:,} events"
    table = Table("stage", "median µs/event", "last µs/event", title=title)
    for stage, laps_s in took_s.items():
        table.add_row(
            stage, *(f"{each / arguments.batch * 1e6:.2f}" for each in (statistics.median(laps_s), laps_s[-1]))
        )
    Console().print(table)


if __name__ == "__main__":
    main()
