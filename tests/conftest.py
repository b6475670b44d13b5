"""Settings for all tests."""

from hypothesis import settings

# No deadlines: the machine may be busy with other work. A failing case is printed so that it can be replayed.
settings.register_profile("weft", deadline=None, max_examples=30, print_blob=True)
settings.load_profile("weft")
