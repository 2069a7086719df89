package peer;

import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** Forwards a prediction for each record; where the records behind it are known, they are scored with it. */
final class ScoreProcessor implements Processor<byte[], byte[], byte[], Prediction> {
    private final Scoring scoring;
    private final List<Event> batch = new ArrayList<>();
    private ProcessorContext<byte[], Prediction> context;
    /** That of all records of a processor, as a partitioner names it. */
    private Optional<Set<Integer>> partition;
    private byte[][] predictions = {};
    /** The position in the batch of the record that is expected next. */
    private int next;

    ScoreProcessor(Scoring scoring) {
        this.scoring = scoring;
    }

    @Override
    public void init(ProcessorContext<byte[], Prediction> context) {
        this.context = context;
        partition = Optional.of(Set.of(context.taskId().partition()));
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        RecordMetadata at = context.recordMetadata().orElseThrow();
        if (next == batch.size() || batch.get(next).offset() != at.offset()) {
            scoreFrom(record, at);
        }
        context.forward(record.withValue(new Prediction(partition, predictions[next++])));
    }

    private void scoreFrom(Record<byte[], byte[]> record, RecordMetadata at) {
        batch.clear();
        batch.add(new Event(at.offset(), record.timestamp(), record.value()));
        Deque<ConsumerRecord<byte[], byte[]>> polled =
                PolledRecords.of(new TopicPartition(at.topic(), at.partition()));
        // Those before it were polled by this thread when it had the partition the last time.
        while (!polled.isEmpty() && polled.peek().offset() < at.offset()) {
            polled.poll();
        }
        if (!polled.isEmpty() && polled.peek().offset() == at.offset()) {
            polled.poll();
            while (batch.size() < scoring.maxBatch() && !polled.isEmpty()) {
                ConsumerRecord<byte[], byte[]> ahead = polled.poll();
                batch.add(new Event(ahead.offset(), ahead.timestamp(), ahead.value()));
            }
        }
        predictions = scoring.score(batch);
        next = 0;
    }
}
