package peer;

/** A record to be scored: where it stands in its partition, its timestamp in ms, and its JSON. */
record Event(long offset, long timestampMs, byte[] value) {}
