"""Stage 4: predictions and the labels that come later, joined by id into a ledger of label states."""

from app.feedback.contribution import Contribution, Kind
from app.feedback.decode import decode_labels, decode_predictions
from app.feedback.ledger import Ledger
from app.feedback.ledger_topic import LedgerBatch, decode_ledger
from app.feedback.rekey import Rekeyed, rekey_labels, rekey_predictions
from app.feedback.seen import SeenLabel, SeenPrediction
from app.feedback.store import CorruptStore, DictStore, RocksdictStore, Store, delete_store

__all__ = [
    "Contribution",
    "CorruptStore",
    "DictStore",
    "Kind",
    "Ledger",
    "LedgerBatch",
    "Rekeyed",
    "RocksdictStore",
    "SeenLabel",
    "SeenPrediction",
    "Store",
    "decode_labels",
    "decode_ledger",
    "decode_predictions",
    "delete_store",
    "rekey_labels",
    "rekey_predictions",
]
