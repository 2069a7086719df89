package peer;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * What the polls of this thread brought and its processors have not been handed yet; the records themselves go on as
 * they are.
 */
public final class PolledRecords implements ConsumerInterceptor<byte[], byte[]> {
    // Kafka Streams polls and processes in one thread.
    private static final ThreadLocal<Map<TopicPartition, Deque<ConsumerRecord<byte[], byte[]>>>> POLLED =
            ThreadLocal.withInitial(HashMap::new);

    /** The records of a partition in the order of their offsets, to be taken by its processor. */
    static Deque<ConsumerRecord<byte[], byte[]>> of(TopicPartition partition) {
        return POLLED.get().computeIfAbsent(partition, unused -> new ArrayDeque<>());
    }

    @Override
    public ConsumerRecords<byte[], byte[]> onConsume(ConsumerRecords<byte[], byte[]> records) {
        for (TopicPartition partition : records.partitions()) {
            of(partition).addAll(records.records(partition));
        }
        return records;
    }

    @Override
    public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {}

    @Override
    public void configure(Map<String, ?> configs) {}

    @Override
    public void close() {}
}
