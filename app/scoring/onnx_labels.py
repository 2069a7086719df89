"""The class labels inside an ONNX file, read from its protobuf fields: onnxruntime does not give them.

Only the few fields needed are looked at (numbers from onnx.proto); all else is skipped by its length, so that a model
of 100 MB costs no more than its number of nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_ATTRIBUTE = 5
ATTRIBUTE_NAME, ATTRIBUTE_INTS, ATTRIBUTE_STRINGS = 1, 8, 9
TENSOR_TYPE, TENSOR_INT32S, TENSOR_STRINGS, TENSOR_INT64S, TENSOR_NAME, TENSOR_RAW = 2, 5, 6, 7, 8, 9
INT32, INT64 = 6, 7
VARINT_BITS_MAX = 63
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def class_labels(model: bytes) -> list[list[Any]]:
    """Every list of class labels in *model*: `classlabels_*` attributes and initialisers named `classes`.

    A file that is not laid out as expected has none: whether it can be run is onnxruntime's to say.
    """
    try:
        return [labels for labels in _labels_of(memoryview(model)) if labels]
    except (ValueError, IndexError, TypeError):
        return []


def _labels_of(model: memoryview) -> Iterator[list[Any]]:
    for graph in _messages(model, MODEL_GRAPH):
        for node in _messages(graph, GRAPH_NODE):
            for attribute in _messages(node, NODE_ATTRIBUTE):
                yield _attribute_labels(attribute)
        for tensor in _messages(graph, GRAPH_INITIALIZER):
            yield _initializer_labels(tensor)


def _attribute_labels(attribute: memoryview) -> list[Any]:
    # The name comes first: a tree's other attributes are a million fields that must not be walked.
    if not bytes(next(_messages(attribute, ATTRIBUTE_NAME), b"")).startswith(b"classlabels"):
        return []
    strings = [bytes(text).decode() for text in _messages(attribute, ATTRIBUTE_STRINGS)]
    return strings or _integers(attribute, ATTRIBUTE_INTS)


def _initializer_labels(tensor: memoryview) -> list[Any]:
    if not bytes(next(_messages(tensor, TENSOR_NAME), b"")).startswith(b"classes"):
        return []
    strings = [bytes(text).decode() for text in _messages(tensor, TENSOR_STRINGS)]
    if strings:
        return strings
    width = {INT32: 4, INT64: 8}.get(next(iter(_integers(tensor, TENSOR_TYPE)), 0))
    if width is None:
        return []
    for raw in _messages(tensor, TENSOR_RAW):
        return [int.from_bytes(raw[at : at + width], "little", signed=True) for at in range(0, len(raw), width)]
    return _integers(tensor, TENSOR_INT64S if width == 8 else TENSOR_INT32S)  # noqa: PLR2004 - bytes of an int64


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The length-delimited fields *wanted* of *message*."""
    for number, content in _fields(message):
        if number == wanted and isinstance(content, memoryview):
            yield content


def _integers(message: memoryview, wanted: int) -> list[int]:
    """The integers of field *wanted*, packed or one by one."""
    integers: list[int] = []
    for number, content in _fields(message):
        if number != wanted:
            continue
        if isinstance(content, int):
            integers.append(_signed(content))
        else:
            at = 0
            while at < len(content):
                value, at = _varint(content, at)
                integers.append(_signed(value))
    return integers


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and content of each field; ValueError or IndexError where it is no protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind in (BYTES, FIXED64, FIXED32):
            size, at = _varint(message, at) if kind == BYTES else ({FIXED64: 8, FIXED32: 4}[kind], at)
            if at + size > len(message):
                raise ValueError("a field reaches beyond its message")
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The variable-length integer at *at*, and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, at
        shift += 7
        if shift > VARINT_BITS_MAX:
            raise ValueError("an integer without end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
