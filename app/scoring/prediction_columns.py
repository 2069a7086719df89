"""The predictions of a batch as columns, whose bytes are made for all of them at once.

They say what the records of `PreparedBatch`, made one by one, would say; only some numbers are spelled with zeros at
the end. A batch of few records, or of records that have hardly anything in common, is better off one by one.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.columns import Digits, Header, RecordColumns, Texts, alike, fractions, whole_numbers
from app.scoring.scorer import PLACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from app.columns import Piece
    from app.features import DecodedBatch
    from app.records import ClassValue, Record
    from app.scoring.scorer import Scorer, Scores

encode = msgspec.json.Encoder().encode
ROWS_MIN = 64
"""With fewer rows the arrays cost more than they save."""
ROWS_PER_BLOCK = 16
"""The same for rows that are alike, on average."""
EPOCH_DIGITS = 10
"""Of epoch seconds from 2001 to 2286."""
EXACT = 2**53
"""Below this every whole number is a float, so that a quotient is what whoever reads the decimal gets."""

_timestamp_of, _offset_of, _key_of = attrgetter("timestamp"), attrgetter("offset"), attrgetter("key")


def prediction_columns(
    records: Sequence[Record], decoded: DecodedBatch, answers: Scores, scorer: Scorer, *, now_s: float
) -> RecordColumns | None:
    """The predictions for the kept records of *decoded*, all of one partition; None if one by one is better.

    Whatever it raises is some record's fault, and none of the records is lost by making them one by one.
    """
    n = len(decoded)
    if n < ROWS_MIN or answers.failed or answers.indices is None or answers.numbers is None:
        return None
    chosen = records if n == len(records) else [records[position] for position in decoded.kept]
    keys, ids = Texts(list(map(_key_of, chosen))), Texts(_json_texts(decoded.ids))
    if len(alike((keys, ids), slice(0, n))) * ROWS_PER_BLOCK > n:
        return None
    contract = scorer.contract
    value: list[Piece] = [
        b'{"id":"',
        ids,
        b'","version":%d,"prediction":' % scorer.version,
        _classes(contract.classes, answers.indices),
        b',"event_at":',
        epoch_seconds(np.array(decoded.event_at_s, np.float64)),
        b',"model":%b,' % encode(contract.name),
        *_scores(answers.numbers),
        b',"scored_at":%b}' % encode(now_s),
    ]
    headers = [
        Header("source-topic", chosen[0].topic.encode()),
        Header("source-partition", b"%d" % chosen[0].partition),
        Header("source-offset", _numbers(np.fromiter(map(_offset_of, chosen), np.int64, n))),
    ]
    if decoded.source_rows is not None:
        headers.append(Header("source-row", Texts(list(map(b"%d".__mod__, decoded.source_rows.tolist())))))
    headers.append(Header("model-sha256", scorer.sha256.encode()))
    return RecordColumns(keys, value, np.fromiter(map(_timestamp_of, chosen), np.int64, n), headers)


def _json_texts(texts: Sequence[str]) -> list[bytes]:
    """Each of *texts* as JSON has it between its quotation marks."""
    joined = "".join(texts)
    if joined.isascii() and joined.isprintable() and '"' not in joined and "\\" not in joined:
        return list(map(str.encode, texts))
    return [encode(text)[1:-1] for text in texts]


def _classes(classes: Sequence[ClassValue], indices: npt.NDArray[np.intp]) -> Piece:
    """The classes at *indices*, shape (n,)."""
    options = list(map(encode, classes))
    if len({len(option) for option in options}) > 1:
        return Texts([options[index] for index in indices.tolist()])
    return Digits(np.frombuffer(b"".join(options), np.uint8).reshape(len(options), -1)[indices])


def _scores(numbers: npt.NDArray[np.float64]) -> list[Piece]:
    """Of binary the one, shape (n,); of multiclass all of them, shape (n, n_classes)."""
    parts = np.rint(numbers * 10**PLACES).astype(np.uint64)
    if numbers.ndim == 1:
        return [b'"score":', Digits(fractions(parts, 1, PLACES))]
    pieces: list[Piece] = [b'"scores":[']
    for column in parts.T:
        pieces += [Digits(fractions(column, 1, PLACES)), b","]
    return [*pieces[:-1], b"]"]


def epoch_seconds(at_s: npt.NDArray[np.float64]) -> Piece:
    """*at_s*, shape (n,), in decimal, so that each is read as the very same float.

    >>> bytes(epoch_seconds(np.array([1700000000.25])).block(slice(0, 1)))
    b'1700000000.250'
    """
    if at_s.min() >= 10 ** (EPOCH_DIGITS - 1) and at_s.max() < 10**EPOCH_DIGITS - 1:
        for places in (3, 6):
            parts = np.rint(at_s * 10**places)
            if parts.max() < EXACT and (parts / 10**places == at_s).all():
                return Digits(fractions(parts.astype(np.uint64), EPOCH_DIGITS, places))
    return Texts(list(map(encode, at_s.tolist())))


def _numbers(numbers: npt.NDArray[np.int64]) -> Piece:
    """*numbers*, which are ascending and not negative, shape (n,), in decimal."""
    n_digits = len(str(numbers[-1]))
    if len(str(numbers[0])) == n_digits:
        return Digits(whole_numbers(numbers.astype(np.uint64), n_digits))
    return Texts([b"%d" % number for number in numbers.tolist()])
