"""The independent checker: reads a pipeline's topics from offset 0, re-scores, recounts, and says what does not hold.

It shares no code with the program that it checks; simple and slow beats clever here, since it is the reference.
"""
