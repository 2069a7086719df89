"""Two requests of Kafka's protocol that aiokafka speaks in old versions only, and what is new in the newer ones.

OffsetFetch v7: offsets that an unfinished transaction may be about to commit are not told as they were before it.
InitProducerId v4: a new epoch for the holder of the present one, and for nobody else.
"""

from __future__ import annotations

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest_v3
from aiokafka.protocol.transaction import InitProducerIdRequest_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_TEXT = CompactString("utf-8")


class OffsetFetchResponse_v7(Response):  # type: ignore[misc]  # noqa: N801  named as aiokafka names its own
    """The committed offsets, or why not."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", CompactArray(
            ("topic", _TEXT),
            ("partitions", CompactArray(
                ("partition", Int32),
                ("offset", Int64),
                ("leader_epoch", Int32),
                ("metadata", _TEXT),
                ("error_code", Int16),
                ("tags", TaggedFields),
            )),
            ("tags", TaggedFields),
        )),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )  # fmt: skip


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Asks for a group's committed offsets."""

    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", _TEXT),
        ("topics", CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class OffsetFetch(Request[OffsetFetchRequest_v3 | OffsetFetchRequest_v7]):  # type: ignore[misc]
    """Committed offsets: stable ones where the broker can tell (Kafka 2.5), whatever it knows where it cannot."""

    API_KEY = 9

    def __init__(self, group_id: str, topics: list[tuple[str, list[int]]]) -> None:
        self._group_id = group_id
        self._topics = topics

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request in that version."""
        if request_struct_class is OffsetFetchRequest_v3:
            return OffsetFetchRequest_v3(self._group_id, self._topics)
        topics: list[Any] = [(topic, partitions, {}) for topic, partitions in self._topics]
        return OffsetFetchRequest_v7(self._group_id, topics, True, {})


def fetched_offsets(answer: Any) -> dict[tuple[str, int], tuple[int, int]]:
    """By topic and partition the offset in an *answer* of either version, -1 for none, and the error code."""
    return {
        (topic["topic"], each["partition"]): (each["offset"], each["error_code"])
        for topic in answer.to_object()["topics"]
        for each in topic["partitions"]
    }


class InitProducerIdResponse_v4(Response):  # type: ignore[misc]  # noqa: N801
    """The new epoch, or why not."""

    API_KEY = 22
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class InitProducerIdRequest_v4(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Asks for a new epoch."""

    API_KEY = 22
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = InitProducerIdResponse_v4
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class NextEpoch(Request[InitProducerIdRequest_v0 | InitProducerIdRequest_v4]):  # type: ignore[misc]
    """A new epoch, if the present one is still *epoch*; brokers before Kafka 2.7 give it to anyone who asks."""

    API_KEY = 22

    def __init__(self, transactional_id: str, timeout_ms: int, producer_id: int, epoch: int) -> None:
        self._transactional_id = transactional_id
        self._timeout_ms = timeout_ms
        self._who = producer_id, epoch

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request in that version."""
        if request_struct_class is InitProducerIdRequest_v0:
            return InitProducerIdRequest_v0(self._transactional_id, self._timeout_ms)
        return InitProducerIdRequest_v4(self._transactional_id, self._timeout_ms, *self._who, {})
