"""How fast, how late, how big: measured beside other ways to do the same work, on a Kafka of our own.

    python -m benchmarks.throughput   events/s of one worker, of stock Faust and of hand-written loops
    python -m benchmarks.latency      end-to-end latency at a fixed rate, open loop
    python -m benchmarks.memory       memory over millions of events, and the time from restart to ready

`make bench`, `make bench-latency` and `make bench-memory` call them; results stand in benchmarks/results/.
"""
