package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.SerializableString;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.core.io.SerializedString;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;

/** Writes the public fields of predictions, one JSON object for each; for one thread. */
final class PredictionEncoder {
    private static final float THRESHOLD = 0.5f;
    private static final SerializedString ID = new SerializedString("id");
    private static final SerializedString MODEL = new SerializedString("model");
    private static final SerializedString BENCH = new SerializedString("bench");
    private static final SerializedString VERSION = new SerializedString("version");
    private static final SerializedString PREDICTION = new SerializedString("prediction");
    private static final SerializedString SCORE = new SerializedString("score");
    private static final SerializedString SCORES = new SerializedString("scores");
    private static final SerializedString EVENT_AT = new SerializedString("event_at");
    private static final SerializedString SCORED_AT = new SerializedString("scored_at");

    private final ByteArrayOutputStream written = new ByteArrayOutputStream(512);
    private final JsonGenerator json;

    PredictionEncoder() {
        JsonFactory factory = new JsonFactoryBuilder()
                .rootValueSeparator((SerializableString) null)
                .enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER)
                .build();
        try {
            json = factory.createGenerator(written);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A prediction of two classes has the second one's probability as its score, one of more has all as scores. */
    byte[] encode(
            String id, FloatBuffer probabilities, int position, int nClasses, double eventAtS, double scoredAtS) {
        try {
            json.writeStartObject();
            json.writeFieldName(ID);
            json.writeString(id);
            json.writeFieldName(MODEL);
            json.writeString(BENCH);
            json.writeFieldName(VERSION);
            json.writeNumber(1);
            json.writeFieldName(PREDICTION);
            if (nClasses == 2) {
                float score = probabilities.get(position + 1);
                json.writeNumber(score >= THRESHOLD ? 1 : 0);
                json.writeFieldName(SCORE);
                json.writeNumber(score);
            } else {
                json.writeNumber(likeliest(probabilities, position, nClasses));
                json.writeFieldName(SCORES);
                json.writeStartArray();
                for (int index = 0; index < nClasses; index++) {
                    json.writeNumber(probabilities.get(position + index));
                }
                json.writeEndArray();
            }
            json.writeFieldName(EVENT_AT);
            json.writeNumber(eventAtS);
            json.writeFieldName(SCORED_AT);
            json.writeNumber(scoredAtS);
            json.writeEndObject();
            json.flush();
            return written.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } finally {
            written.reset();
        }
    }

    private static int likeliest(FloatBuffer probabilities, int position, int nClasses) {
        int best = 0;
        for (int index = 1; index < nClasses; index++) {
            if (probabilities.get(position + index) > probabilities.get(position + best)) {
                best = index;
            }
        }
        return best;
    }
}
