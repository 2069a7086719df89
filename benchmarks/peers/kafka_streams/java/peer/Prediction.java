package peer;

import java.util.Optional;
import java.util.Set;

/** The JSON of a prediction and the partition that its record came from, which it is written to again. */
record Prediction(Optional<Set<Integer>> partition, byte[] json) {}
