"""How the model topics are set up."""

from __future__ import annotations

from app.registry import model_topic_configs


def test_activations_are_judged_by_the_brokers_clock_and_all_are_kept():
    """`models` has broker timestamps and is not compacted while anybody could read it."""
    configs = model_topic_configs()
    assert configs.models["message.timestamp.type"] == "LogAppendTime"
    assert int(configs.models["min.compaction.lag.ms"]) > 9 * 365 * 24 * 3600 * 1000
    assert [config["cleanup.policy"] for config in configs] == ["compact", "compact", "delete"]
