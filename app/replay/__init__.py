"""Replay: the rows of a file as a stream of events and, after a delay, labels; and what the workers made of them.

    table -> pace, times -> events --batches--> features topic      (acknowledged: coordinates, and so ids and labels)
                                       |
                            waiting labels --batches--> labels topic
                                                              workers
    outcome <- tracker <- watch <-- predictions, dead letters, ledger, performance

`events`, `pace`, `times`, `waiting`, `sent`, `tracker`, `outcome` and `advice` are plain values and functions;
`batches`, `watch` and `run` talk to Kafka. What belongs to a replay is told by the coordinates of the records that
Kafka has acknowledged to it: whatever else is on the topics is not counted.
"""

from app.replay.advice import Surroundings, advice
from app.replay.batches import BatchSender
from app.replay.outcome import Outcome
from app.replay.plan import Plan
from app.replay.run import Replay, Standing

__all__ = ["BatchSender", "Outcome", "Plan", "Replay", "Standing", "Surroundings", "advice"]
