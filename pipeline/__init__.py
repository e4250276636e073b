"""Configuration, graph, launching and the command line.

TensorFlow Transform, which TFX imports, would turn `tf.keras` into Keras 2 for the whole process; this project, and
TensorFlow Probability beneath TF-GAN, run on Keras 3.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
