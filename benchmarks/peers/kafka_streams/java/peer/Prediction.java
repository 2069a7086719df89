package peer;

import java.util.Optional;
import java.util.Set;

/** The JSON of a prediction and the partition that its record came from, which it is written to again. */
record Prediction(int partition, byte[] json) {
    Optional<Set<Integer>> inItsPartition() {
        return Optional.of(Set.of(partition));
    }
}
