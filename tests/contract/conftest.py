"""Hypothesis without a deadline for one example: the machine that runs the tests may be busy."""

from hypothesis import settings

settings.register_profile("runyard", deadline=None)
settings.load_profile("runyard")
