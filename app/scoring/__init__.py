"""Stage 2: decoded batches in, predictions out, by an onnxruntime session bound to its contract."""

from app.scoring.batch import ScoredBatch, score_batch
from app.scoring.scorer import Scorer, Scores

__all__ = ["ScoredBatch", "Scorer", "Scores", "score_batch"]
