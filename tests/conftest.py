"""Settings that all tests share."""

from hypothesis import settings

import components  # noqa: F401  (before TFX: it settles which Keras TFX's imports get)

# Machines that run tests are slow and shared: an example may take as long as it likes, and each run tries the same.
settings.register_profile("tailgan", deadline=None, derandomize=True)
settings.load_profile("tailgan")
