package peer;

import java.nio.file.Path;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StreamPartitioner;

/**
 * Kafka Streams with ONNX Runtime: one stream thread, one ONNX thread, at least once.
 *
 * <p>Arguments: BROKER FEATURES PREDICTIONS MODEL GROUP SHAPE. System properties: {@code state.dir}; {@code batch}, the
 * number of records that are scored at once at most, 1 for event by event; {@code linger.ms} of the producer.
 *
 * <p>Kafka Streams hands over one record after the other, and takes one for done once {@code process} has returned: a
 * record that a processor kept back to fill a batch would be lost if a commit, a rebalance or the end came first. So
 * {@link ScoreProcessor} keeps nothing back. {@link PolledRecords} tells it what the poll brought; when it is handed
 * the first record of a batch it scores them all, and gives each its own prediction when its turn comes. No record
 * waits for another, each keeps its key, timestamp and offset, and a prediction made ahead that is never asked for was
 * work in vain, no more. Scoring event by event is as correct and takes more processor time.
 */
public final class KafkaStreamsPeer {
    private KafkaStreamsPeer() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 6) {
            throw new IllegalArgumentException("usage: BROKER FEATURES PREDICTIONS MODEL GROUP SHAPE");
        }
        String broker = arguments[0], features = arguments[1], predictions = arguments[2], group = arguments[4];
        int batch = Integer.getInteger("batch", 512);
        Scoring scoring = new Scoring(Path.of(arguments[3]), arguments[5], batch);

        KafkaStreams streams = new KafkaStreams(topology(features, predictions, scoring), config(broker, group, batch));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((state, before) -> {
            if (state == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(1);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology(String features, String predictions, Scoring scoring) {
        Serializer<Prediction> json = (topic, prediction) -> prediction.json();
        StreamPartitioner<byte[], Prediction> samePartition =
                (topic, key, prediction, partitions) -> prediction.partition();
        return new Topology()
                .addSource("features", new ByteArrayDeserializer(), new ByteArrayDeserializer(), features)
                .addProcessor("score", () -> new ScoreProcessor(scoring), "features")
                .addSink("predictions", predictions, new ByteArraySerializer(), json, samePartition, "score");
    }

    private static Properties config(String broker, String group, int batch) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        config.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("state.dir", "state"));
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        // A partition is paused while more than this is buffered: as much as two polls can bring.
        config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 8000);

        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4000);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        // The system sizes the socket's buffer: fetched bytes arrive while the thread scores.
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.RECEIVE_BUFFER_CONFIG), -1);
        if (batch > 1) {
            config.put(
                    StreamsConfig.mainConsumerPrefix(ConsumerConfig.INTERCEPTOR_CLASSES_CONFIG),
                    PolledRecords.class.getName());
        }

        config.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
        // Kafka Streams' own default is 100 ms.
        config.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), Integer.getInteger("linger.ms", 5));
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1 << 20);
        config.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
        return config;
    }
}
