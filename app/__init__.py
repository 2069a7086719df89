"""faust-onnx: machine-learning models in a Kafka stream.

    features --score--> predictions --join--> outcomes --tally--> rolling accuracy
                             ^                   ^
                          releases             labels
                             |
                        models topic <-- publish, activate

An agent moves records, a stage decides, a table remembers, the topology connects - and imports only point upstream:
`features` (1), `scoring` (2), `registry` (3), `feedback` (4) and `performance` (5) are the stages, in the order in
which data passes them; `transport` is Faust in batches; `topology` is the one place that binds stages to Faust.
"""
