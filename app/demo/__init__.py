"""The demo: real data, a real Kafka, a worker, a better model while events flow, and a summary of what the topics hold.

phishing -> schedule -> intake --features, labels--> Kafka <--> worker
                                                       |
                               view <- observe <-------+-------> summary (from offset 0), verify
"""
