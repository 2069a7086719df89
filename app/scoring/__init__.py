"""Stage 2: decoded batches in, predictions out, by an onnxruntime session bound to its contract."""

from app.scoring.batch import PreparedBatch, ScoredBatch, score_batch
from app.scoring.scorer import Scorer, Scores

__all__ = ["PreparedBatch", "ScoredBatch", "Scorer", "Scores", "score_batch"]
