"""What a record of the `models` topic says: a manifest, an activation, or nothing that counts - and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from app.errors import Refusal
from app.records import Activation, Manifest
from app.registry.chunks import SHA256_HEX_DIGITS

MAX_DIGITS = 15
"""Of a version or a sequence: below 2**53, so that every JSON library carries it exactly."""

_HEX = frozenset("0123456789abcdef")
_decode_manifest = msgspec.json.Decoder(Manifest).decode
_decode_activation = msgspec.json.Decoder(Activation).decode


class Ignored(StrEnum):
    """Why a record of the `models` topic has no effect; the `reason` of an `ignored` event."""

    UNKNOWN_KEY = "unknown_key"
    TOMBSTONE = "tombstone"
    MALFORMED = "malformed"
    VERSION_TAKEN = "version_taken"
    SEQUENCE_TAKEN = "sequence_taken"
    UNKNOWN_VERSION = "unknown_version"
    TOO_LATE = "too_late"
    RELEASE_REFUSED = "release_refused"


@dataclass(frozen=True, slots=True)
class Notice:
    """A record that has no effect: *reason* is the closed code, *error* the sentence for people."""

    reason: Ignored | Refusal
    error: str
    version: int | None = None
    sequence: int | None = None


def release_key(version: int) -> bytes:
    """The record key of a manifest.

    >>> release_key(3)
    b'release/3'
    """
    return f"release/{version}".encode()


def activation_key(sequence: int) -> bytes:
    """The record key of an activation.

    >>> activation_key(7)
    b'activation/7'
    """
    return f"activation/{sequence}".encode()


def numbered_key(key: bytes | None) -> tuple[str, int] | None:
    """The kind and number of a key of the `models` topic, None for any other key.

    >>> numbered_key(b"release/12"), numbered_key(b"release/012"), numbered_key(b"shadow/1")
    (('release', 12), None, None)
    """
    kind, separator, digits = (key or b"").partition(b"/")
    if kind not in (b"release", b"activation") or not separator or not digits.isdigit():
        return None
    if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits.startswith(b"0")):
        return None
    return kind.decode(), int(digits)


def parse(pipeline: str, key: bytes | None, value: bytes | None) -> Manifest | Activation | Notice:
    """The record as a manifest or an activation of *pipeline*; a Notice when it is neither."""
    numbered = numbered_key(key)
    if numbered is None:
        return Notice(Ignored.UNKNOWN_KEY, f"key {_shown(key)} is neither release/<version> nor activation/<sequence>")
    kind, number = numbered
    if kind == "release":
        return _parse_manifest(pipeline, number, value)
    return _parse_activation(number, value)


def _parse_manifest(pipeline: str, version: int, value: bytes | None) -> Manifest | Notice:
    if value is None:
        return Notice(Ignored.TOMBSTONE, f"release/{version} was deleted", version=version)
    try:
        manifest = _decode_manifest(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Notice(Refusal.BAD_MANIFEST, f"release/{version} is no manifest: {error}", version=version)
    fault = _manifest_fault(manifest, pipeline, version)
    if fault:
        return Notice(Refusal.BAD_MANIFEST, f"release/{version}: {fault}", version=version)
    return manifest


def _manifest_fault(manifest: Manifest, pipeline: str, version: int) -> str | None:
    if manifest.version != version:
        return f"the manifest's version is {manifest.version}"
    if manifest.pipeline != pipeline:
        return f"the manifest is of pipeline {manifest.pipeline!r}, not {pipeline!r}"
    if len(manifest.sha256) != SHA256_HEX_DIGITS or not _HEX.issuperset(manifest.sha256):
        return "sha256 must be 64 lower-case hex digits"
    if manifest.size < 1:
        return f"size is {manifest.size}, must be positive"
    if not 1 <= manifest.chunks <= manifest.size:
        return f"chunks is {manifest.chunks}, must be from 1 to the size in bytes"
    return None


def _parse_activation(sequence: int, value: bytes | None) -> Activation | Notice:
    if value is None:
        return Notice(Ignored.TOMBSTONE, f"activation/{sequence} was deleted", sequence=sequence)
    try:
        activation = _decode_activation(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Notice(Ignored.MALFORMED, f"activation/{sequence} is no activation: {error}", sequence=sequence)
    if activation.sequence != sequence:
        fault = f"activation/{sequence}: the record's sequence is {activation.sequence}"
        return Notice(Ignored.MALFORMED, fault, sequence=sequence)
    if not math.isfinite(activation.effective_from_s):
        fault = f"activation/{sequence}: effective_from_s must be finite"
        return Notice(Ignored.MALFORMED, fault, sequence=sequence, version=activation.version)
    return activation


def _shown(key: bytes | None) -> str:
    return "null" if key is None else ascii(key[:80].decode(errors="replace"))
