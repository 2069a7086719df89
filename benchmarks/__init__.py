"""How fast, how late, how big: measured beside other ways to do the same work, on a Kafka of our own.

    python -m benchmarks.throughput   events/s of one worker, of other stream processors and of hand-written loops
    python -m benchmarks.latency      end-to-end latency at fixed rates, open loop
    python -m benchmarks.scale        what an event costs with more workers, features, trees, bytes, partitions
    python -m benchmarks.memory       memory over millions of events, and the time from restart to ready

The targets `bench` and `bench-*` of the Makefile call these and others; README.md beside this has the method, results
stand in results/.
"""
