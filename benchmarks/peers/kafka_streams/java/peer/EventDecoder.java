package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.io.SerializedString;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.util.HashMap;
import java.util.Map;

/** Reads the id and the features of an event from its JSON, without objects in between; for one thread. */
abstract class EventDecoder {
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).build();

    /** The decoder of events of that shape. */
    static EventDecoder of(String shape, int width) {
        return switch (shape) {
            case "named" -> new Named(width);
            case "vector" -> new Vector(width);
            default -> throw new IllegalArgumentException("shape " + shape + ": this peer has named and vector");
        };
    }

    /** The event's id; its features are put into the matrix from that position on. */
    String decode(byte[] json, FloatBuffer matrix, int position) {
        try (JsonParser parser = JSON.createParser(json)) {
            require(parser.nextToken() == JsonToken.START_OBJECT, "no object");
            return decode(parser, matrix, position);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    abstract String decode(JsonParser parser, FloatBuffer matrix, int position) throws IOException;

    private static void require(boolean holds, String problem) {
        if (!holds) {
            throw new IllegalArgumentException("not an event: " + problem);
        }
    }

    /** {"id": "...", "feature_00": 1.23, ..., "feature_29": 0.4} */
    private static final class Named extends EventDecoder {
        /** The id, then the features in the model's order. */
        private final SerializedString[] fields;
        private final Map<String, Integer> indexes = new HashMap<>();

        Named(int width) {
            fields = new SerializedString[width + 1];
            for (int index = 0; index <= width; index++) {
                String name = index == 0 ? "id" : String.format("feature_%02d", index - 1);
                fields[index] = new SerializedString(name);
                indexes.put(name, index);
            }
        }

        @Override
        String decode(JsonParser parser, FloatBuffer matrix, int position) throws IOException {
            String id = null;
            int found = 0;
            for (int expected = 0; ; expected++) {
                Integer index = expected;
                // Most events have their fields in this order, and then no name has to be decoded and looked up.
                if (expected >= fields.length || !parser.nextFieldName(fields[expected])) {
                    if (expected >= fields.length) {
                        parser.nextToken();
                    }
                    if (parser.currentToken() == JsonToken.END_OBJECT) {
                        break;
                    }
                    index = indexes.get(parser.currentName());
                }
                parser.nextToken();
                if (index == null) {
                    parser.skipChildren();
                    continue;
                }
                if (index == 0) {
                    id = parser.getText();
                } else {
                    matrix.put(position + index - 1, (float) parser.getDoubleValue());
                }
                found++;
            }
            require(found == fields.length, "a field is missing");
            return id;
        }
    }

    /** {"id": "...", "x": [1.23, ..., 0.4]} */
    private static final class Vector extends EventDecoder {
        private final int width;

        Vector(int width) {
            this.width = width;
        }

        @Override
        String decode(JsonParser parser, FloatBuffer matrix, int position) throws IOException {
            String id = null;
            int found = 0;
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken value = parser.nextToken();
                switch (name) {
                    case "id" -> id = parser.getText();
                    case "x" -> {
                        require(value == JsonToken.START_ARRAY, "x is no array");
                        while (parser.nextToken() != JsonToken.END_ARRAY) {
                            require(found < width, "x is too long");
                            matrix.put(position + found++, (float) parser.getDoubleValue());
                        }
                    }
                    default -> parser.skipChildren();
                }
            }
            require(id != null && found == width, "id is missing, or x is too short");
            return id;
        }
    }
}
