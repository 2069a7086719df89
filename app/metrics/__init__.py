"""The Prometheus metrics of a worker, declared once; the cost of counting is per batch, never per event.

Labels come from closed sets - pipelines, versions, classes, reasons, partitions -, never from what events hold.
`sum()` over the labels of a metric means something for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from app.errors import Reason, Refusal
from app.metrics.collectors import BatchHistogram, BatchSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

__all__ = ["LABEL_STATES", "Metrics"]

LABEL_STATES: Final = ("joined", "expired", "orphan", "duplicate", "conflicting", "too_late")
"""How a label can end; `pending` is not an end and has a gauge of its own."""
LABEL_FAULTS: Final = (
    Reason.NOT_JSON,
    Reason.NOT_OBJECT,
    Reason.NULL_VALUE,
    Reason.BAD_ID,
    Reason.BAD_TIME,
    Reason.BAD_LABEL,
    Reason.OVERSIZED,
)
CONFUSION_MAX_CLASSES: Final = 10

_INFERENCE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_BATCH_EVENTS = tuple(2**power for power in range(13))
_LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
_DELAY_SECONDS = (1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800)
_DURATION_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

# The sample `_created` of each counter would double the series and says what `process_start_time_seconds` says.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one worker in a registry of their own; `model` in a label is the pipeline.

    Every method is called once per batch or decision. Counters of a pipeline stand at 0 from `serve` on.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._classes: dict[str, int] = {}
        self._active: dict[str, tuple[str, ...]] = {}
        self._declare_scoring()
        self._declare_models()
        self._declare_feedback()
        self._declare_kafka()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"faust_onnx_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"faust_onnx_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> BatchHistogram:
        return BatchHistogram(f"faust_onnx_{name}", text, labels, buckets, self.registry)

    def _summary(self, name: str, text: str, *labels: str) -> BatchSummary:
        return BatchSummary(f"faust_onnx_{name}", text, labels, self.registry)

    def _declare_scoring(self) -> None:
        self._predictions = self._counter(
            "predictions_total",
            "Events that reached a model: ok were published, dlq became dead letters because scoring failed.",
            *("model", "version", "result"),
        )
        self._inference = self._histogram(
            "inference_seconds", "Time to decode, score and encode a batch.", _INFERENCE_SECONDS, "model"
        )
        self._batch_size = self._histogram("batch_size", "Feature records in a batch.", _BATCH_EVENTS, "model")
        self._latency = self._histogram(
            "event_to_prediction_seconds",
            "From a feature record's Kafka timestamp to its prediction.",
            _LATENCY_SECONDS,
            "model",
        )
        self._dead_letters = self._counter(
            "dead_letters_total", "Records that can never be used, by topic and reason.", "model", "source", "reason"
        )
        self._future = self._counter(
            "future_timestamp_total", "Feature records more than 60 s ahead of the worker's clock.", "model"
        )

    def _declare_models(self) -> None:
        self._model_info = self._gauge("model_info", "1 for the version in force.", "model", "version", "sha256_12")
        self._activated = self._gauge(
            "model_activated_timestamp_seconds", "From which time of the stream the version is in force.", "model"
        )
        self._updates = self._counter(
            "model_updates_total", "Releases accepted or refused, activations taken or ignored.",
            *("model", "result", "reason"),
        )  # fmt: skip
        self._swap = self._histogram(
            "model_swap_seconds", "From an activation's time to the first batch it scored.", _DURATION_SECONDS, "model"
        )

    def _declare_feedback(self) -> None:
        self._labels = self._counter("labels_total", "Labels by the state in which they ended.", "model", "state")
        self._delay = self._histogram(
            "label_delay_seconds", "From an event's time to its label's, joined labels only.", _DELAY_SECONDS, "model"
        )
        self._pending = self._gauge("labels_pending", "Labels that wait for their prediction.", "model", "partition")
        self._duplicates = self._counter(
            "duplicate_predictions_total", "Further predictions of an id, with other coordinates.", "model"
        )
        self._dropped = self._counter(
            "pending_dropped_total", "Events forgotten before their time because there were too many.", "model"
        )
        self._labels_checked = self._counter(
            "labels_checked_total", "Labels of a keyed pipeline whose placement was looked at: a sample.", "model"
        )
        self._labels_misplaced = self._counter(
            "labels_misplaced_total",
            "Of those, the ones without a key or not where murmur2 of their key puts them: see faust-onnx doctor.",
            "model",
        )
        self._ledger_disk = self._gauge(
            "ledger_disk_bytes", "Disk that the local state of pending labels takes.", "model", "partition"
        )
        self._outcomes = self._counter(
            "outcomes_total", "Joined predictions of a classifier; accuracy is the share of correct=true.",
            *("model", "version", "correct"),
        )  # fmt: skip
        self._confusion = self._counter(
            "confusion_total", f"Joined predictions by class, for at most {CONFUSION_MAX_CLASSES} classes.",
            *("model", "version", "actual", "predicted"),
        )  # fmt: skip
        self._log_loss = self._summary("log_loss", "Log loss of joined predictions with a score.", "model", "version")
        self._error = self._summary("error", "Absolute error of joined predictions of a number.", "model", "version")
        self._sq_error = self._summary("sq_error", "Squared error, likewise.", "model", "version")

    def _declare_kafka(self) -> None:
        self._assigned = self._gauge("assigned_partitions", "Partitions this worker has.", "topic")
        self._lag = self._gauge("consumer_lag", "Records not yet consumed.", "topic", "partition")
        self._lag_seconds = self._gauge(
            "consumer_lag_seconds", "Age of the last consumed record, 0 when none is waiting.", "topic", "partition"
        )
        self._last_event = self._gauge(
            "last_event_timestamp_seconds", "Kafka timestamp of the last consumed record.", "topic", "partition"
        )
        self._skipped = self._counter(
            "records_skipped_total", "Records that retention removed before they were read.", "pipeline", "topic"
        )
        self._rebalances = self._counter("rebalances_total", "Assignments received from Kafka.")
        self._recovery = self._histogram("table_recovery_seconds", "Time to restore tables.", _DURATION_SECONDS)

    def serve(self, pipeline: str, *, n_classes: int) -> None:
        """Begin to count for *pipeline*, at 0; n_classes: of its contract, 0 for regression."""
        self._classes[pipeline] = n_classes
        for reason in Reason:
            if reason is not Reason.BAD_LABEL:
                self._dead_letters.labels(pipeline, "features", reason)
        for reason in LABEL_FAULTS:
            self._dead_letters.labels(pipeline, "labels", reason)
        for state in LABEL_STATES:
            self._labels.labels(pipeline, state)
        for counter in (
            self._future, self._duplicates, self._dropped, self._labels_checked, self._labels_misplaced,
        ):  # fmt: skip
            counter.labels(pipeline)

    def batch(self, pipeline: str, *, records: int, seconds: float) -> None:
        """A batch of *records* feature records took *seconds* to decode, score and encode."""
        self._batch_size.observe((pipeline,), records)
        self._inference.observe((pipeline,), seconds)

    def scored(self, pipeline: str, version: int, *, predictions: int, failed: int, latencies_s: ArrayLike) -> None:
        """What *version* did in a batch; latencies_s: prediction time minus event time, shape (predictions,)."""
        self._predictions.labels(pipeline, version, "ok").inc(predictions)
        self._predictions.labels(pipeline, version, "dlq").inc(failed)
        self._latency.observe((pipeline,), latencies_s)

    def dead_letters(self, pipeline: str, source: str, reasons: Mapping[Reason, int]) -> None:
        """Dead letters of a batch; source: `features`, `labels`, or `predictions` (another program's)."""
        for reason, n in reasons.items():
            self._dead_letters.labels(pipeline, source, Reason(reason)).inc(n)

    def future_timestamps(self, pipeline: str, n: int) -> None:
        """*n* records of a batch lay more than 60 s ahead of the clock."""
        self._future.labels(pipeline).inc(n)

    def model_update(self, pipeline: str, result: str, reason: Refusal | str = "") -> None:
        """A decision; result: `accepted`, `refused`, `activated` or `ignored`, reason: of a closed set, or none."""
        self._updates.labels(pipeline, result, reason).inc()

    def model_in_force(self, pipeline: str, version: int, sha256: str, *, effective_from_s: float) -> None:
        """*version* is in force now; the series of the one before goes."""
        series = (pipeline, str(version), sha256[:12])
        if (before := self._active.get(pipeline)) not in (None, series):
            self._model_info.remove(*before)
        self._active[pipeline] = series
        self._model_info.labels(*series).set(1)
        self._activated.labels(pipeline).set(effective_from_s)

    def model_swapped(self, pipeline: str, seconds: float) -> None:
        """The first batch with a new version came *seconds* after its activation took effect."""
        self._swap.observe((pipeline,), seconds)

    def labels(self, pipeline: str, states: Mapping[str, int]) -> None:
        """Labels that ended in a batch, by state (`LABEL_STATES`)."""
        for state, n in states.items():
            if state not in LABEL_STATES:
                raise ValueError(f"{state} is no state in which a label ends")
            self._labels.labels(pipeline, state).inc(n)

    def label_delays(self, pipeline: str, delays_s: ArrayLike) -> None:
        """Label time minus event time, in seconds, of the labels that a batch joined."""
        self._delay.observe((pipeline,), delays_s)

    def pending(self, pipeline: str, partition: int, n: int) -> None:
        """*n* labels wait in *partition*."""
        self._pending.labels(pipeline, partition).set(n)

    def labels_placed(self, pipeline: str, *, checked: int, misplaced: int) -> None:
        """Of a batch's labels *checked* were looked at, and *misplaced* of them do not lie where their key belongs."""
        self._labels_checked.labels(pipeline).inc(checked)
        self._labels_misplaced.labels(pipeline).inc(misplaced)

    def ledger_disk(self, pipeline: str, partition: int, n_bytes: int) -> None:
        """The ledger of *partition* takes *n_bytes* on disk."""
        self._ledger_disk.labels(pipeline, partition).set(n_bytes)

    def ledger_anomalies(self, pipeline: str, *, duplicate_predictions: int = 0, pending_dropped: int = 0) -> None:
        """What a batch added to the two counts that ought to stay at 0."""
        self._duplicates.labels(pipeline).inc(duplicate_predictions)
        self._dropped.labels(pipeline).inc(pending_dropped)

    def outcomes(self, pipeline: str, version: int, confusion: Mapping[str, Mapping[str, int]]) -> None:
        """Joined predictions of a batch, `{y_true: {y_pred: n}}` as on the `performance` topic."""
        for actual, row in confusion.items():
            for predicted, n in row.items():
                self._outcomes.labels(pipeline, version, "true" if actual == predicted else "false").inc(n)
                if self._classes.get(pipeline, 0) <= CONFUSION_MAX_CLASSES:
                    self._confusion.labels(pipeline, version, actual, predicted).inc(n)

    def log_loss(self, pipeline: str, version: int, *, n: int, total: float) -> None:
        """*n* joined predictions with a score, whose log losses add up to *total*."""
        self._log_loss.add((pipeline, str(version)), n, total)

    def errors(self, pipeline: str, version: int, *, n: int, absolute: float, squared: float) -> None:
        """*n* joined predictions of a number, with the sums of their absolute and squared errors."""
        self._error.add((pipeline, str(version)), n, absolute)
        self._sq_error.add((pipeline, str(version)), n, squared)

    def assigned(self, topic: str, n: int) -> None:
        """This worker has *n* partitions of *topic*."""
        self._assigned.labels(topic).set(n)

    def position(self, topic: str, partition: int, *, lag: int, lag_s: float, last_s: float | None) -> None:
        """How far a partition was consumed; last_s: Kafka timestamp of its last record, None before the first."""
        self._lag.labels(topic, partition).set(lag)
        self._lag_seconds.labels(topic, partition).set(lag_s)
        if last_s is not None:
            self._last_event.labels(topic, partition).set(last_s)

    def revoked(self, pipeline: str, topic: str, partition: int) -> None:
        """The partition went to another worker, and its series with it."""
        for gauge in (self._lag, self._lag_seconds, self._last_event):
            _remove(gauge, topic, partition)
        for gauge in (self._pending, self._ledger_disk):
            _remove(gauge, pipeline, partition)

    def skipped(self, pipeline: str, topic: str, n: int) -> None:
        """*n* records of *topic* were removed before they were read; 0 to begin to count."""
        self._skipped.labels(pipeline, topic).inc(n)

    def rebalanced(self) -> None:
        """Kafka assigned partitions anew."""
        self._rebalances.inc()

    def recovered(self, seconds: float) -> None:
        """Tables were restored in *seconds*."""
        self._recovery.observe((), seconds)


def _remove(gauge: Gauge, *labels: str | int) -> None:
    """Remove a series if it is there; labels that were never set are no fault."""
    gauge.labels(*labels)
    gauge.remove(*labels)
