"""What all tests share."""

from hypothesis import settings

# Hypothesis fails an example that takes longer than 200 ms, or much longer than it did before. On a
# machine that several people and their browsers share, that measures who else is at work: tests of
# the twin stores and of the journal failed so, now and then, with nothing wrong. Where time is a
# promise, a test of its own measures it.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
