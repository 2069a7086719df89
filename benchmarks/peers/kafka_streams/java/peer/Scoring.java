package peer;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A loaded model: decodes events into the model's input, runs it, encodes predictions. For one thread. */
final class Scoring {
    private static final String INPUT = "features", OUTPUT = "probabilities";

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final EventDecoder decoder;
    private final PredictionEncoder encoder = new PredictionEncoder();
    private final int width;
    private final int nClasses;
    /** All batches use the same memory, of maxBatch rows; ONNX Runtime reads and writes it where it is. */
    private final FloatBuffer matrix, probabilities;
    /** The tensors over that memory for each number of rows, made when a batch first has that many. */
    private final OnnxTensor[] inputs, outputs;

    Scoring(Path model, String shape, int maxBatch) throws OrtException {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        options.setIntraOpNumThreads(1);
        options.setInterOpNumThreads(1);
        session = environment.createSession(model.toString(), options);
        width = columns((TensorInfo) session.getInputInfo().get(INPUT).getInfo());
        nClasses = columns((TensorInfo) session.getOutputInfo().get(OUTPUT).getInfo());
        decoder = EventDecoder.of(shape, width);
        matrix = direct(maxBatch * width);
        probabilities = direct(maxBatch * nClasses);
        inputs = new OnnxTensor[maxBatch + 1];
        outputs = new OnnxTensor[maxBatch + 1];
    }

    /** The largest number of events that can be scored at once. */
    int maxBatch() {
        return inputs.length - 1;
    }

    /** The JSON of a prediction for each of the events. */
    byte[][] score(List<Event> events) {
        int n = events.size();
        String[] ids = new String[n];
        for (int row = 0; row < n; row++) {
            ids[row] = decoder.decode(events.get(row).value(), matrix, row * width);
        }
        run(n);
        byte[][] predictions = new byte[n][];
        double scoredAtS = System.currentTimeMillis() / 1e3;
        for (int row = 0; row < n; row++) {
            double eventAtS = events.get(row).timestampMs() / 1e3;
            predictions[row] = encoder.encode(ids[row], probabilities, row * nClasses, nClasses, eventAtS, scoredAtS);
        }
        return predictions;
    }

    private void run(int n) {
        try {
            if (inputs[n] == null) {
                inputs[n] = tensor(matrix, n, width);
                outputs[n] = tensor(probabilities, n, nClasses);
            }
            session.run(Map.of(INPUT, inputs[n]), Set.of(), Map.of(OUTPUT, outputs[n])).close();
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }

    private OnnxTensor tensor(FloatBuffer memory, int n, int columns) throws OrtException {
        return OnnxTensor.createTensor(environment, memory.slice(0, n * columns), new long[] {n, columns});
    }

    private static int columns(TensorInfo info) {
        return Math.toIntExact(info.getShape()[1]);
    }

    private static FloatBuffer direct(int n) {
        return ByteBuffer.allocateDirect(n * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }
}
