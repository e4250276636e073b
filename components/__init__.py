"""TFX components, a folder each.

TensorFlow Transform, which TFX imports, would turn `tf.keras` into Keras 2 for the whole process; this project, and
TensorFlow Probability beneath TF-GAN, run on Keras 3. So this is settled here, before TFX is imported.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
