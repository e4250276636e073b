"""The judge classifier, as its exported SavedModel answers."""

import numpy as np
import tensorflow as tf

from components.evaluator.figures import Judged

BATCH_SIZE = 256


class Judge:
    """Calls the `serving_default` signature of an exported judge (see models/judge.py)."""

    def __init__(self, path: str):
        self._model = tf.saved_model.load(path)
        self._signature = self._model.signatures["serving_default"]

    def look(self, images: np.ndarray, labels: np.ndarray) -> Judged:
        """Features and class probabilities of images.

        Args:
          images: [n, H, W, C] uint8.
          labels: [n] int, kept beside them.
        """
        answers = [
            self._signature(image=tf.constant(images[start : start + BATCH_SIZE]))
            for start in range(0, len(images), BATCH_SIZE)
        ]
        features, probabilities = (
            np.concatenate([answer[key].numpy() for answer in answers]).astype(np.float64)
            for key in ("features", "probabilities")
        )
        return Judged(features, probabilities, np.asarray(labels))
