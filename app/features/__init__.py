"""Stage 1: a pipeline's contract, and records decoded by it into arrays or refused with a reason."""

from app.features.classes import class_key
from app.features.contract import Contract, Feature, load_contracts
from app.features.dead_letters import dead_letter
from app.features.decoded import WHOLE, DecodedBatch, Rejected
from app.features.decoder import Decoder, decoder_of
from app.features.decoding import BatchDecoder
from app.features.rows import RowFormat

__all__ = [
    "WHOLE",
    "BatchDecoder",
    "Contract",
    "DecodedBatch",
    "Decoder",
    "Feature",
    "Rejected",
    "RowFormat",
    "class_key",
    "dead_letter",
    "decoder_of",
    "load_contracts",
]
