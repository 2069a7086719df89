"""Models come by topic: releases and activations on `models`, their bytes on `model-bytes` (stage 3).

`publish` and `activate_version` write, `ModelReader` gives a worker the scorer in force at a record's Kafka timestamp,
`Timeline` holds the rules. docs/model-topic.md says what stands on the topics.
"""

from __future__ import annotations

from app.registry.cache import ModelCache
from app.registry.publisher import Published, activate_version, publish, read_models
from app.registry.reader import ModelReader, is_future
from app.registry.status import activations_of, releases_of
from app.registry.timeline import InForce, Timeline, Undecided
from app.registry.topic_configs import ModelTopicConfigs, model_topic_configs

__all__ = [
    "InForce",
    "ModelCache",
    "ModelReader",
    "ModelTopicConfigs",
    "Published",
    "Timeline",
    "Undecided",
    "activate_version",
    "activations_of",
    "is_future",
    "model_topic_configs",
    "publish",
    "read_models",
    "releases_of",
]
