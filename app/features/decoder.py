"""Which decoder reads a pipeline's feature records: the one place where the contract's encoding is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.features.decoding import BatchDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features.contract import Contract
    from app.features.decoded import DecodedBatch
    from app.records import Record


class Decoder(Protocol):
    """Decodes the records of a batch."""

    def decode(self, records: Sequence[Record]) -> DecodedBatch:
        """What is good as arrays, the rest with its reasons; the order is kept."""

    def alone(self, record: Record, row: int) -> bytes | None:
        """One *row* of a *record* that has rows, as a value of a record of its own; None if that would be too much."""


def decoder_of(contract: Contract, *, max_record_bytes: int) -> Decoder:
    """The decoder of *contract*; a value of more than *max_record_bytes* is refused unread."""
    if contract.encoding == "json":
        return BatchDecoder(contract, max_record_bytes=max_record_bytes)
    from app.features.arrow.decoding import ArrowDecoder  # noqa: PLC0415 - who reads JSON does not pay for it

    return ArrowDecoder(contract, max_record_bytes=max_record_bytes)
