"""Other ways to score the same records with the same model, each a complete program that is written well.

Each takes the same arguments: `python -m benchmarks.peers.<name> BROKER FEATURES PREDICTIONS MODEL GROUP SHAPE`.
"""
