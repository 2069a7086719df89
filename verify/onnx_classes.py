"""The class labels that an ONNX file itself names, from the few fields of its protobuf message that hold them.

A tensor of probabilities does not say which column is whose. Converters leave the classes in the graph: as attribute
`classlabels_*` of a node, or as an initializer `classes*`. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

GRAPH, NODE, ATTRIBUTE, INITIALIZER = 7, 1, 5, 5
ATTRIBUTE_NAME, ATTRIBUTE_INTS, ATTRIBUTE_STRINGS = 1, 8, 9
TENSOR_TYPE, TENSOR_INT32, TENSOR_STRING, TENSOR_INT64, TENSOR_NAME, TENSOR_RAW = 2, 5, 6, 7, 8, 9
INT32_TYPE = 6


def named_classes(model: bytes) -> list[list[Any]]:
    """Every list of class labels in the ONNX file; empty where it names none."""
    lists: list[list[Any]] = []
    for graph in _submessages(memoryview(model), GRAPH):
        for node in _submessages(graph, NODE):
            lists.extend(_of_attribute(attribute) for attribute in _submessages(node, ATTRIBUTE))
        lists.extend(_of_tensor(tensor) for tensor in _submessages(graph, INITIALIZER))
    return [labels for labels in lists if labels]


def _of_attribute(attribute: memoryview) -> list[Any]:
    # The name comes first; the other fields may be a million numbers of a tree, so they are not walked in vain.
    if not bytes(next(_submessages(attribute, ATTRIBUTE_NAME), b"")).startswith(b"classlabels"):
        return []
    texts = [bytes(text).decode() for text in _submessages(attribute, ATTRIBUTE_STRINGS)]
    return texts or _integers(attribute, ATTRIBUTE_INTS)


def _of_tensor(tensor: memoryview) -> list[Any]:
    if not bytes(next(_submessages(tensor, TENSOR_NAME), b"")).startswith(b"classes"):
        return []
    texts = [bytes(text).decode() for text in _submessages(tensor, TENSOR_STRING)]
    if texts:
        return texts
    is_int32 = _integers(tensor, TENSOR_TYPE) == [INT32_TYPE]
    for raw in _submessages(tensor, TENSOR_RAW):
        letter, width = ("i", 4) if is_int32 else ("q", 8)
        return list(struct.unpack(f"<{len(raw) // width}{letter}", raw)) if len(raw) % width == 0 else []
    return _integers(tensor, TENSOR_INT32 if is_int32 else TENSOR_INT64)


def _submessages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, content in _fields(message):
        if number == wanted and not isinstance(content, int):
            yield content


def _integers(message: memoryview, wanted: int) -> list[int]:
    """The integers of a field, packed or not."""
    integers: list[int] = []
    for number, content in _fields(message):
        if number != wanted:
            continue
        if isinstance(content, int):
            integers.append(content)
            continue
        at = 0
        while at < len(content):
            value, at = _varint(content, at)
            integers.append(value)
    return [value - (1 << 64) if value >= 1 << 63 else value for value in integers]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, at = _varint(message, at)
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:  # noqa: PLR2004 - the highest bit says that more follows
            return value, at
        shift += 7
