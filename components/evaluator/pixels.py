"""Principal components of the pixels of the different training images: features that no training had a hand in."""

import hashlib
import os

import numpy as np
import tensorflow as tf

from metrics import pixels
from models.data import decoded
from models.dataset import UNLABELLED, DatasetInfo

MOST_IMAGES = 5000
READ_AT_ONCE = 256


class Pixels:
    """Axes that were found once, applied to any images of the data's size.

    Attributes:
      fingerprint: hex digest of the axes.
      dimensions: how many there are, at most 64.
    """

    name = "pixels"

    def __init__(self, axes: pixels.Axes):
        """Takes axes of `pixels.fit`, of images reduced to at most 64 pixels a side."""
        self._axes = axes
        digest = hashlib.sha256(axes.mean.tobytes() + np.ascontiguousarray(axes.directions).tobytes())
        self.fingerprint = digest.hexdigest()[:32]
        self.dimensions = axes.directions.shape[1]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C] -> float32 [n, d]."""
        return self._axes.apply(pixels.reduced(images)).astype(np.float32)


def some_training_images(shards: list[str], info: DatasetInfo, seed: int) -> np.ndarray:
    """At most 5,000 labelled images of the shards of a train split without copies, drawn by seed.

    Returns:
      uint8 [n, h, w, C], reduced to at most 64 pixels a side.
    """
    labelled = sum(info.counts["train"])
    drawn = np.zeros(labelled, bool)
    drawn[np.random.default_rng(seed).permutation(labelled)[:MOST_IMAGES]] = True
    found, place = [], 0
    records = tf.data.TFRecordDataset(shards, compression_type="GZIP")
    for batch in decoded(records, info, READ_AT_ONCE, "interpolate").as_numpy_iterator():
        images = batch["image"][batch["label"] != UNLABELLED]
        found.append(pixels.reduced(images[drawn[place : place + len(images)]]))
        place += len(images)
    return np.concatenate(found)


def to_arrays(axes: pixels.Axes) -> dict[str, np.ndarray]:
    """Axes as arrays, to be kept in a file."""
    return {"shape": np.array(axes.shape), "mean": axes.mean, "directions": axes.directions}


def read_axes(path: str | os.PathLike) -> pixels.Axes:
    """Axes from a file of `to_arrays`."""
    with np.load(path) as arrays:
        return pixels.Axes(tuple(arrays["shape"].tolist()), arrays["mean"], arrays["directions"])
