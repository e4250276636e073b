"""The judge classifier, as its exported SavedModel answers."""

import hashlib

import numpy as np
import tensorflow as tf

from models.errors import UserError

BATCH_SIZE = 256


class Judge:
    """Calls the `serving_default` signature of an exported judge (see models/judge.py); its features have a name too.

    Attributes:
      fingerprint: hex digest of its weights.
      dimensions: of its features.
      classes: how many it knows.
    """

    name = "judge"

    def __init__(self, path: str):
        """Loads a SavedModel.

        Raises:
          UserError: if it is none of a judge.
        """
        try:
            self._model = tf.saved_model.load(path)
            self._signature = self._model.signatures["serving_default"]
            answer = self._signature.structured_outputs
            self.dimensions, self.classes = (int(answer[key].shape[-1]) for key in ("features", "probabilities"))
        except (OSError, KeyError) as error:
            raise UserError(f"{path} holds no judge: {error}") from error
        digest = hashlib.sha256()
        for weight in self._signature.variables:
            digest.update(f"{weight.dtype.name}{weight.shape}".encode())
            digest.update(weight.numpy().tobytes())
        self.fingerprint = digest.hexdigest()[:32]

    def look(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [n, H, W, C] -> (features [n, d], class probabilities [n, K]), float32."""
        answers = [
            self._signature(image=tf.constant(images[start : start + BATCH_SIZE]))
            for start in range(0, len(images), BATCH_SIZE)
        ]
        features, probabilities = (
            np.concatenate([answer[key].numpy() for answer in answers]) for key in ("features", "probabilities")
        )
        return features, probabilities

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Its features alone."""
        return self.look(images)[0]
