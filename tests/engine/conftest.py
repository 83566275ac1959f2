"""A machine that many tests share is no measure of how long one example takes."""

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
