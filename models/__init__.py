"""One folder per pipeline: its contract, how its models are trained, and the models that were released."""
