"""Kafka's frames, as far as tests meddle with them: numbers of requests, and answers that refuse them."""

from __future__ import annotations

import asyncio
import struct
from enum import IntEnum
from io import BytesIO

from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.group import HeartbeatResponse_v1, JoinGroupResponse_v5
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnResponse_v0,
    AddPartitionsToTxnRequest_v0,
    AddPartitionsToTxnResponse_v0,
    EndTxnResponse_v0,
    InitProducerIdResponse_v0,
    TxnOffsetCommitRequest_v0,
    TxnOffsetCommitResponse_v0,
)


class Api(IntEnum):
    """Kafka's numbers for the requests that tests meddle with."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


VERSIONS = {
    Api.PRODUCE: 7,
    Api.JOIN_GROUP: 5,
    Api.HEARTBEAT: 1,
    Api.INIT_PRODUCER_ID: 0,
    Api.ADD_PARTITIONS_TO_TXN: 0,
    Api.ADD_OFFSETS_TO_TXN: 0,
    Api.END_TXN: 0,
    Api.TXN_OFFSET_COMMIT: 0,
}
"""Of the requests that can be answered with an error: the versions that aiokafka sends."""

OF_LANES = (
    Api.PRODUCE, Api.INIT_PRODUCER_ID, Api.ADD_PARTITIONS_TO_TXN, Api.ADD_OFFSETS_TO_TXN, Api.END_TXN,
    Api.TXN_OFFSET_COMMIT,
)  # fmt: skip
"""Requests that begin with a transactional id."""


def transactional_id(frame: bytes) -> str | None:
    """Whose transaction the request in *frame* is of; None if it is of none."""
    if struct.unpack(">h", frame[4:6])[0] not in OF_LANES:
        return None
    body = BytesIO(frame[4:])
    RequestHeader_v1.SCHEMA.decode(body)
    size = struct.unpack(">h", body.read(2))[0]
    return None if size < 0 else body.read(size).decode()


def refusal(frame: bytes, code: int) -> bytes:
    """The answer that refuses the request in *frame* with an error *code*, for every partition that it names."""
    api, version, correlation = struct.unpack(">hhi", frame[4:12])
    if VERSIONS.get(api) != version:
        raise NotImplementedError(f"no refusal of API {api} v{version} is known")
    body = BytesIO(frame[4:])
    RequestHeader_v1.SCHEMA.decode(body)
    match api:
        case Api.PRODUCE:
            topics = ProduceRequest_v7.decode(body).topics
            parts = [(topic, [(part[0], code, -1, -1, -1) for part in each]) for topic, each in topics]
            answer = ProduceResponse_v7(parts, 0)
        case Api.JOIN_GROUP:
            answer = JoinGroupResponse_v5(0, code, -1, "", "", "", [])
        case Api.HEARTBEAT:
            answer = HeartbeatResponse_v1(0, code)
        case Api.INIT_PRODUCER_ID:
            answer = InitProducerIdResponse_v0(0, code, -1, -1)
        case Api.ADD_PARTITIONS_TO_TXN:
            topics = AddPartitionsToTxnRequest_v0.decode(body).topics
            answer = AddPartitionsToTxnResponse_v0(0, [(topic, [(p, code) for p in each]) for topic, each in topics])
        case Api.TXN_OFFSET_COMMIT:
            topics = TxnOffsetCommitRequest_v0.decode(body).topics
            answer = TxnOffsetCommitResponse_v0(0, [(topic, [(p[0], code) for p in each]) for topic, each in topics])
        case Api.ADD_OFFSETS_TO_TXN:
            answer = AddOffsetsToTxnResponse_v0(0, code)
        case _:
            answer = EndTxnResponse_v0(0, code)
    content = struct.pack(">i", correlation) + answer.encode()
    return struct.pack(">i", len(content)) + content


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame, its length included; IncompleteReadError at the end."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack(">i", head)[0])
