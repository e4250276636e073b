"""Training images whose label a classifier doubts: candidates for a wrong label.

A network learns what its images share before it learns wrong labels by heart (Arpit et al. 2017), so its predictions
for its own training images are averaged over the first half of its training, as the margins of Pleiss et al. 2020 are
over all of it.
"""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from models.data import Examples, to_float

DISAGREEMENTS_FILE = "disagreements.npz"
SHOWN = 200
_MOST_LOOKS = 12
_LOOK_AT_ONCE = 256


class Looks(keras.callbacks.Callback):
    """Averages what a classifier says of some images over the first half of its training.

    Attributes:
      probabilities: float32 [n, K], the means, once that half is over.
    """

    def __init__(self, images: np.ndarray, calls: int, images_a_call: int):
        """Takes the images and the length of the training.

        It looks once a call, 12 times at most, and so rarely that it is shown no more images than are trained on in
        that half; but once at least.

        Args:
          images: uint8 [n, H, W, C].
          calls: epochs of the training.
          images_a_call: that are trained on in one of them.
        """
        super().__init__()
        half = max(1, calls // 2)
        looks = int(np.clip(half * images_a_call // len(images), 1, min(half, _MOST_LOOKS)))
        self._images = images
        self._at = {half * (look + 1) // looks - 1 for look in range(looks)}
        self.probabilities = np.zeros((), np.float32)

    def on_train_begin(self, logs=None) -> None:
        """Builds the graph that looks."""
        self._look = tf.function(lambda images: tf.nn.softmax(self.model(to_float(images), training=False)))

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Looks, if it is time to."""
        if epoch in self._at:
            starts = range(0, len(self._images), _LOOK_AT_ONCE)
            pieces = [self._look(tf.constant(self._images[start : start + _LOOK_AT_ONCE])) for start in starts]
            self.probabilities = self.probabilities + np.concatenate(pieces) / len(self._at)


class Disagreements(NamedTuple):
    """Images whose label is not the most probable class, the most doubted first.

    Attributes:
      rows: int64 [m], their places.
      predicted: int64 [m], the most probable class.
      probability: float32 [m], its probability.
      own_probability: float32 [m], that of the label.
    """

    rows: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    own_probability: np.ndarray


def disagreements(probabilities: np.ndarray, labels: np.ndarray) -> Disagreements:
    """The images whose label is not the most probable class, by how much more probable that is.

    >>> disagreements(np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]]), np.array([0, 0, 1])).rows
    array([2, 1])
    """
    everywhere = np.arange(len(labels))
    predicted = probabilities.argmax(axis=1)
    best, own = probabilities[everywhere, predicted], probabilities[everywhere, labels]
    rows = np.flatnonzero(predicted != labels)
    rows = rows[np.argsort(own[rows] - best[rows], kind="stable")]
    return Disagreements(rows, predicted[rows], best[rows].astype(np.float32), own[rows].astype(np.float32))


def save(directory: Path, examples: Examples, found: Disagreements, classes: int) -> None:
    """Writes `disagreements.npz`.

    Of at most `SHOWN` images, the most doubted first: `images` uint8 [m, H, W, C], `ids` bytes [m], `labels` and
    `predicted` int64 [m], `probability` (of the predicted class), `own_probability` (of the label) float32 [m]. Of all:
    `counts` int64 [K, K], how many images of label i are taken for class j.
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (examples.labels[found.rows], found.predicted), 1)
    shown = examples[found.rows[:SHOWN]]
    directory.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        directory / DISAGREEMENTS_FILE,
        images=shown.images,
        ids=shown.ids.astype(np.bytes_),  # not as objects, which would be pickled
        labels=shown.labels,
        predicted=found.predicted[:SHOWN],
        probability=found.probability[:SHOWN],
        own_probability=found.own_probability[:SHOWN],
        counts=counts,
    )
