"""Metrics: what a scrape says after batches were counted."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from app.errors import Reason
from app.metrics import LABEL_STATES, Metrics
from app.metrics.collectors import BatchHistogram


@pytest.fixture(name="metrics")
def _metrics():
    metrics = Metrics()
    metrics.serve("fraud", n_classes=2)
    return metrics


def samples(metrics, name):
    """The samples called *name* in the text of a scrape, by their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in parse(generate_latest(metrics.registry).decode())
        for sample in family.samples
        if sample.name == name
    }


def value(metrics, name, **labels):
    """The one sample of that name and labels, None when there is none."""
    return metrics.registry.get_sample_value(name, labels)


def test_a_batch_of_two_versions_counts_for_each(metrics):
    """An event is ok or dlq under the version that was to score it."""
    metrics.scored("fraud", 1, predictions=3, failed=0, latencies_s=[0.001, 0.02, 0.03])
    metrics.scored("fraud", 2, predictions=2, failed=1, latencies_s=[0.04, 70.0])

    counted = {
        (version, result): value(metrics, "faust_onnx_predictions_total", model="fraud", version=version, result=result)
        for version in ("1", "2")
        for result in ("ok", "dlq")
    }
    assert counted == {("1", "ok"): 3, ("1", "dlq"): 0, ("2", "ok"): 2, ("2", "dlq"): 1}
    assert value(metrics, "faust_onnx_event_to_prediction_seconds_count", model="fraud") == 5
    assert value(metrics, "faust_onnx_event_to_prediction_seconds_bucket", model="fraud", le="0.025") == 2
    assert value(metrics, "faust_onnx_event_to_prediction_seconds_bucket", model="fraud", le="60.0") == 4


def test_the_histogram_equals_that_of_prometheus_client():
    """Batch by batch the same buckets, count and sum come out as value by value, values on an edge included."""
    edges = [0.1, 0.5, 1.0]
    values = np.concatenate([np.random.default_rng(7).exponential(0.5, 1_000), edges, [0.0, 9.0]])
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batched = BatchHistogram("seconds", "Seconds.", ["model"], edges, ours)
    single = Histogram("seconds", "Seconds.", ["model"], buckets=edges, registry=theirs)

    for chunk in np.array_split(values, 7):
        batched.observe(("m",), chunk)
    for each in values:
        single.labels("m").observe(each)

    for name in ("seconds_count", "seconds_sum"):
        labels = {"model": "m"}
        assert ours.get_sample_value(name, labels) == pytest.approx(theirs.get_sample_value(name, labels))
    for edge in ("0.1", "0.5", "1.0", "+Inf"):
        labels = {"model": "m", "le": edge}
        assert ours.get_sample_value("seconds_bucket", labels) == theirs.get_sample_value("seconds_bucket", labels)


def test_a_negative_latency_counts_as_none_and_nan_is_left_out(metrics):
    """Clocks differ: a prediction may seem older than its event, and a sum must never fall."""
    metrics.scored("fraud", 1, predictions=3, failed=0, latencies_s=[-5.0, float("nan"), 0.5])

    assert value(metrics, "faust_onnx_event_to_prediction_seconds_sum", model="fraud") == 0.5
    assert value(metrics, "faust_onnx_event_to_prediction_seconds_count", model="fraud") == 2


def test_every_reason_and_state_stands_at_zero_from_the_start(metrics):
    """A rate over a series that appears with its first fault would miss that fault."""
    dead = samples(metrics, "faust_onnx_dead_letters_total")
    states = samples(metrics, "faust_onnx_labels_total")

    assert set(dead.values()) == set(states.values()) == {0}
    assert {reason for labels in dead for reason in labels if reason in set(Reason)} == set(Reason)
    assert len(states) == len(LABEL_STATES)


def test_dead_letters_of_labels_are_counted_apart(metrics):
    """The same reason on the two topics is two series."""
    metrics.dead_letters("fraud", "features", {Reason.NOT_JSON: 2})
    metrics.dead_letters("fraud", "labels", {Reason.NOT_JSON: 3})

    name = "faust_onnx_dead_letters_total"
    assert value(metrics, name, model="fraud", source="features", reason="not_json") == 2
    assert value(metrics, name, model="fraud", source="labels", reason="not_json") == 3


def test_accuracy_follows_from_the_outcomes(metrics):
    """The share of correct=true is the accuracy, and the confusion counters say the same."""
    metrics.outcomes("fraud", 1, {"yes": {"yes": 5, "no": 1}, "no": {"yes": 2, "no": 12}})

    name = "faust_onnx_outcomes_total"
    correct = value(metrics, name, model="fraud", version="1", correct="true")
    wrong = value(metrics, name, model="fraud", version="1", correct="false")
    assert correct / (correct + wrong) == 17 / 20
    confusion = "faust_onnx_confusion_total"
    assert value(metrics, confusion, model="fraud", version="1", actual="no", predicted="yes") == 2


def test_many_classes_make_no_confusion_series(metrics):
    """A hundred classes would be ten thousand series; right and wrong are still counted."""
    metrics.serve("digits", n_classes=11)
    metrics.outcomes("digits", 1, {"3": {"3": 1, "8": 1}})

    assert samples(metrics, "faust_onnx_confusion_total") == {}
    assert value(metrics, "faust_onnx_outcomes_total", model="digits", version="1", correct="true") == 1


def test_mean_errors_follow_from_sums_and_counts(metrics):
    """For regression the sums of errors stand beside their number."""
    metrics.errors("price", 3, n=2, absolute=3.0, squared=5.0)
    metrics.errors("price", 3, n=2, absolute=1.0, squared=1.0)
    metrics.log_loss("fraud", 1, n=4, total=0.5)

    labels = {"model": "price", "version": "3"}
    assert value(metrics, "faust_onnx_error_sum", **labels) / value(metrics, "faust_onnx_error_count", **labels) == 1.0
    assert value(metrics, "faust_onnx_sq_error_sum", **labels) == 6.0
    assert value(metrics, "faust_onnx_log_loss_count", model="fraud", version="1") == 4


def test_only_the_version_in_force_is_shown(metrics):
    """A swap removes the series of the version before; telling the same one twice changes nothing."""
    metrics.model_in_force("fraud", 1, "a" * 64, effective_from_s=100.0)
    metrics.model_in_force("fraud", 2, "b" * 64, effective_from_s=200.0)
    metrics.model_in_force("fraud", 2, "b" * 64, effective_from_s=200.0)

    assert samples(metrics, "faust_onnx_model_info") == {("fraud", "b" * 12, "2"): 1}
    assert value(metrics, "faust_onnx_model_activated_timestamp_seconds", model="fraud") == 200.0


def test_a_label_state_out_of_the_set_is_a_bug(metrics):
    """Labels of a metric come from closed sets."""
    metrics.labels("fraud", {"joined": 2, "orphan": 1})
    metrics.label_delays("fraud", [3.0, 4.0])

    with pytest.raises(ValueError, match="pending is no state"):
        metrics.labels("fraud", {"pending": 1})
    assert value(metrics, "faust_onnx_labels_total", model="fraud", state="joined") == 2
    assert value(metrics, "faust_onnx_label_delay_seconds_bucket", model="fraud", le="10.0") == 2


def test_the_series_of_a_revoked_partition_are_removed(metrics):
    """Two workers must not both report the lag of a partition; one never reported is no fault."""
    metrics.position("fraud.features", 0, lag=5, lag_s=1.0, last_s=100.0)
    metrics.position("fraud.features", 1, lag=7, lag_s=2.0, last_s=None)
    metrics.pending("fraud", 0, 9)

    metrics.revoked("fraud", "fraud.features", 0)
    metrics.revoked("fraud", "fraud.features", 2)

    assert samples(metrics, "faust_onnx_consumer_lag") == {("1", "fraud.features"): 7}
    assert samples(metrics, "faust_onnx_consumer_lag_seconds") == {("1", "fraud.features"): 2}
    assert samples(metrics, "faust_onnx_last_event_timestamp_seconds") == {}
    assert samples(metrics, "faust_onnx_labels_pending") == {}


def test_both_text_formats_can_be_read_back(metrics):
    """What is served parses as Prometheus text and as OpenMetrics."""
    metrics.batch("fraud", records=4_000, seconds=0.05)
    metrics.errors("fraud", 1, n=1, absolute=1.0, squared=1.0)
    metrics.recovered(2.0)
    metrics.rebalanced()
    metrics.model_swapped("fraud", 2.5)
    metrics.model_update("fraud", "refused", "not_onnx")

    names = {family.name for family in parse(generate_latest(metrics.registry).decode())}
    open_names = {family.name for family in parse_openmetrics(generate_openmetrics(metrics.registry).decode())}

    assert names == open_names
    assert {"faust_onnx_batch_size", "process_resident_memory_bytes", "python_info"} <= names


def test_two_workers_in_one_process_do_not_share_metrics():
    """Each has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.rebalanced()

    assert (value(one, "faust_onnx_rebalances_total"), value(other, "faust_onnx_rebalances_total")) == (1, 0)


def test_a_batch_costs_far_less_than_its_events(metrics):
    """Counting 4,000 events takes less than 1 us each, which one call per event would exceed."""
    latencies_s = np.random.default_rng(1).exponential(0.01, 4_000)

    fastest_s = float("inf")
    for _ in range(20):
        started_at_s = perf_counter()
        metrics.batch("fraud", records=4_000, seconds=0.02)
        metrics.scored("fraud", 1, predictions=4_000, failed=0, latencies_s=latencies_s)
        fastest_s = min(fastest_s, perf_counter() - started_at_s)

    assert fastest_s < 4_000 * 1e-6
