"""What can go wrong, as a tree cut by what the caller does next.

FaustOnnxError
├── ConfigurationError    do not start; exit code 2
├── InvalidRecord         dead-letter the record, then go on with its neighbours
├── RejectedRelease       refuse the model, say so on `model-events`, and serve on with the old one
├── UnfitModel            write nothing: what training came to is not worth releasing, or not what it seems
├── BrokerError           Kafka cannot be reached or refuses; retry or stop, nothing is lost
└── EmbeddedKafkaError    the Kafka that we start ourselves could not be fetched or started

Anything else is a bug and ends the worker.
"""

from __future__ import annotations

from enum import StrEnum


class FaustOnnxError(Exception):
    """A fault that was foreseen; its text says what happened, where, and what to do next."""


class ConfigurationError(FaustOnnxError):
    """A setting or a contract is wrong: names it and gives a valid example."""


class UnfitModel(FaustOnnxError):
    """Training came to a model that should not be released; nothing is written."""


class BrokerError(FaustOnnxError):
    """Kafka cannot be reached, or refused what was asked of it."""


class EmbeddedKafkaError(FaustOnnxError):
    """The embedded Kafka could not be fetched, formatted or started."""


class Reason(StrEnum):
    """Why a record became a dead letter; where a record has several faults the first in this order stands.

    `OVERSIZED` is judged before all others although it stands last but one in the public list.
    """

    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    NULL_VALUE = "null_value"
    MISSING_FEATURE = "missing_feature"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NOT_FINITE = "not_finite"
    BAD_ID = "bad_id"
    BAD_TIME = "bad_time"
    BAD_LABEL = "bad_label"
    OVERSIZED = "oversized"
    SCORING_FAILED = "scoring_failed"


class InvalidRecord(FaustOnnxError):
    """The record can never be used: it becomes a dead letter with *reason*."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Refusal(StrEnum):
    """Why a release was refused; the `reason` of a `refused` event on `model-events`."""

    BAD_MANIFEST = "bad_manifest"
    TOO_LARGE = "too_large"
    MISSING_CHUNK = "missing_chunk"
    WRONG_CHECKSUM = "wrong_checksum"
    CONTRACT_MISMATCH = "contract_mismatch"
    NOT_ONNX = "not_onnx"
    WRONG_INPUTS = "wrong_inputs"
    WRONG_OUTPUTS = "wrong_outputs"


class RejectedRelease(FaustOnnxError):
    """The release cannot serve, for every worker alike: *refusal* is the closed code."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
