"""Tables: files of rows (CSV, TSV, JSON lines, Parquet), read in batches of bounded size, and made into events.

What is read says nothing yet of types: a cell of a delimited file is a text. The contract says what an event is made of
it (`events_of`), the same way for everybody who reads a file.
"""

from app.tables.batch import TableBatch, columns_of
from app.tables.events import events_of, labels_of
from app.tables.open import Table, open_table
from app.tables.records import RowRecord, records_of

__all__ = [
    "RowRecord",
    "Table",
    "TableBatch",
    "columns_of",
    "events_of",
    "labels_of",
    "open_table",
    "records_of",
]
