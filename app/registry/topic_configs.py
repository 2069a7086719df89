"""How the three topics that models come by must be set up; each has one partition."""

from __future__ import annotations

from typing import NamedTuple

_TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
_ONE_YEAR_MS = 365 * 24 * 3600 * 1000


class ModelTopicConfigs(NamedTuple):
    """Kafka topic settings, in the order in which `app.records.Topics` names the topics."""

    models: dict[str, str]
    model_bytes: dict[str, str]
    model_events: dict[str, str]


def model_topic_configs() -> ModelTopicConfigs:
    """The settings of `models`, `model-bytes` and `model-events` for whoever creates them.

    `models` is compacted by name but keeps every record for ten years: of two records of one version or sequence the
    first stands, and compaction would keep the last. Its timestamps are the broker's, since an activation's validity is
    judged by them. `model-bytes` may be compacted at any time: a key names its content.
    """
    return ModelTopicConfigs(
        models={
            "cleanup.policy": "compact",
            "message.timestamp.type": "LogAppendTime",
            "min.compaction.lag.ms": str(_TEN_YEARS_MS),
        },
        model_bytes={"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"},
        model_events={"cleanup.policy": "delete", "retention.ms": str(_ONE_YEAR_MS)},
    )
