"""Configuration, graph, launching and the command line."""

import components  # noqa: F401  (before TFX: it settles which Keras TFX's imports get)
