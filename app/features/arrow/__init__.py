"""Feature records that are Arrow IPC streams: many rows to a Kafka message, each row an event.

    bytes --stream--> messages --schema, arrays--> columns --binding, columns--> values --decoding--> DecodedBatch

Read here over numpy, since the readers in C and Rust do not survive hostile bytes (docs/decisions/0012): nothing is
believed, no read leaves the record's own bytes, and nothing is allocated that is not in proportion to them.
"""
