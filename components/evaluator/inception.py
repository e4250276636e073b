"""Inception v3 as a network of features, on weights that are given or, if that is asked for, Keras's own.

Figures in these features compare with others in them, from the same weights. They are not those of published FIDs:
these rest on a graph of 2015 with other weights, other pooling and another resizing.
"""

import hashlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.evaluator.features_options import WEIGHTS, check_weights
from models.errors import UserError

SIDE = 299
BATCH_SIZE = 32


class Inception:
    """Inception v3 (Szegedy et al. 2016) up to the mean over places that its classifier stands on.

    Images are brought to 299 x 299 by a bilinear filter as wide as the reduction, values to [-1, 1], grey to three
    equal channels: what Pillow's BILINEAR and `keras.applications.inception_v3.preprocess_input` do, to within one
    level of 255, because Pillow rounds to whole ones, along rows and again along columns.

    Attributes:
      fingerprint: hex digest of the weights.
      dimensions: 2048.
    """

    name = "inception"
    dimensions = 2048

    def __init__(self, weights: str | None):
        """Builds the network.

        Args:
          weights: a file as `FeaturesOptions.weights` describes it; None for Keras's own, which are downloaded.

        Raises:
          UserError: if they are not there, or not those of this network.
        """
        self._network = _from_file(weights) if weights else _downloaded()
        digest = hashlib.sha256()
        for weight in self._network.get_weights():
            digest.update(weight.tobytes())
        self.fingerprint = digest.hexdigest()[:32]
        self._features = tf.function(
            lambda images: self._network(preprocess(images), training=False),
            input_signature=[tf.TensorSpec([None, None, None, None], tf.uint8)],
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, 1 or 3] -> float32 [n, 2048]."""
        parts = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
        return np.concatenate([self._features(part).numpy() for part in parts])


def preprocess(images: tf.Tensor) -> tf.Tensor:
    """uint8 [n, H, W, 1 or 3] -> float32 [n, 299, 299, 3] in [-1, 1]."""
    # TensorFlow measures the filter in pixels of the original, as Pillow does, so that nothing aliases.
    resized = tf.image.resize(images, (SIDE, SIDE), method="bilinear", antialias=True)
    coloured = tf.cond(tf.shape(images)[-1] == 1, lambda: tf.repeat(resized, 3, axis=-1), lambda: resized)
    return tf.ensure_shape(coloured, (None, SIDE, SIDE, 3)) / 127.5 - 1.0


def _downloaded() -> keras.Model:
    try:
        return keras.applications.InceptionV3(include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))
    except Exception as error:  # whatever a download fails with
        raise UserError(f"Keras could not download its weights: {error}", key="gate.features.download") from error


def _from_file(path: str) -> keras.Model:
    """The network with the weights of a file, in which the classifier may be or not."""
    check_weights(path)
    reasons = []
    for build in (_without_classifier, _with_classifier):
        whole, features = build()
        try:
            whole.load_weights(path)
            return features
        except (ValueError, OSError, KeyError, AttributeError) as error:
            reasons.append(str(error).strip().partition("\n")[0])
    raise UserError(
        f"{Path(path).name} does not fit Inception v3 of Keras: {reasons[0]} (with its classifier: {reasons[1]})",
        key=WEIGHTS,
    )


def _without_classifier() -> tuple[keras.Model, keras.Model]:
    network = keras.applications.InceptionV3(
        include_top=False, pooling="avg", weights=None, input_shape=(SIDE, SIDE, 3)
    )
    return network, network


def _with_classifier() -> tuple[keras.Model, keras.Model]:
    network = keras.applications.InceptionV3(weights=None, input_shape=(SIDE, SIDE, 3))
    return network, keras.Model(network.input, network.get_layer("avg_pool").output)
