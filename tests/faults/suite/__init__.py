"""The fault suite: real faults under load, then heal, drain, and judge by what stands on the topics.

    case (one function)  --uses-->  Run: broker, proxy, pipeline, workers, load, supervisor
                                      |
    heal -> drain (lag 0) -> SIGTERM -> invariants P1-P8 (judge) -> one line of results (store) -> table

`python -m tests.faults.suite --seeds 10` is the long run; `make test` runs some cases shortened.
"""
