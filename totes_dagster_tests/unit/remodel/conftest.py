"""How hypothesis works here."""

from hypothesis import settings

# Machines differ, and how long an example takes is no claim of ours.
settings.register_profile("unhurried", deadline=None, max_examples=60)
settings.load_profile("unhurried")
