"""Stage 8: from the labelled rows of a table to a model that may be released.

    rows --decode as a worker--> matrix, labels --cross-validate--> the best candidate, beside a trivial baseline
                                                       |
      every row again --compare--> parity <--ONNX------'--> card, plots

Nothing here reads or writes files: batches of rows come in, bytes and texts come out. Training needs packages that a
worker does not have (requirements/dev.in), so nothing that a worker runs imports this package.
"""
