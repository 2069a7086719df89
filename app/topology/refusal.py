"""Records that can never be used: counted, told once a batch, and made into dead letters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from app.features import Rejected, dead_letter

if TYPE_CHECKING:
    from app.features import Contract
    from app.metrics import Metrics
    from app.records import OutRecord
    from app.transport import Batch

log = structlog.get_logger(__name__)


def refuse(batch: Batch, rejected: Sequence[Rejected], contract: Contract, metrics: Metrics) -> list[OutRecord]:
    """The dead letters of the *rejected* records of *batch*, which is of predictions, labels or the ledger topic."""
    if not rejected:
        return []
    now_s = time.time()
    sources = {contract.topics.labels: "labels", contract.topics.ledger: "ledger"}
    reasons = Counter(each.reason for each in rejected)
    metrics.dead_letters(contract.name, sources.get(batch.topic, "predictions"), reasons)
    log.warning(
        "records refused", topic=batch.topic, partition=batch.partition, n=len(rejected), first=rejected[0].error
    )
    return [dead_letter(batch.records[at], reason, error, failed_at_s=now_s) for at, reason, error, _ in rejected]
