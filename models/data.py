"""Reading examples: PNG bytes in gzipped TFRecords -> images in memory -> batches for training.

This is the one place where images are decoded. In memory they are uint8; in models float32 in [-1, 1].
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from models.dataset import DatasetInfo

_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "weight": tf.io.FixedLenFeature([], tf.float32, default_value=1.0),
    "id": tf.io.FixedLenFeature([], tf.string, default_value=""),
}
_READ_AT_ONCE = 1024


@dataclass(frozen=True)
class Examples:
    """The examples of a split, in the order of the files.

    Attributes:
      images: [n, H, W, C] uint8.
      labels: [n] int64, 0..K-1.
      weights: [n] float32 loss weights, 1 where the files have none.
      ids: [n] bytes.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    ids: np.ndarray

    def counts(self, classes: int) -> list[int]:
        """Examples of each of so many classes."""
        return np.bincount(self.labels, minlength=classes).tolist()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def fingerprint(self) -> str:
        """Hex digest of all that training sees: images, labels and weights, copies and order included."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels, self.weights):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def decode(png: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    """PNG bytes (a scalar string) -> image, uint8 of exactly `image_shape` (H, W, C)."""
    return tf.ensure_shape(tf.io.decode_png(png, channels=image_shape[-1]), image_shape)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """uint8 of any shape -> float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float32 in [-1, 1] of any shape -> uint8: the inverse of `to_float`, to the nearest level."""
    return tf.cast(tf.round(tf.clip_by_value((images + 1.0) * 127.5, 0.0, 255.0)), tf.uint8)


def load(patterns: str | Sequence[str], info: DatasetInfo) -> tf.data.Dataset:
    """Streams (image uint8 [H, W, C], label int64, weight float32, id string), always in the same order.

    Args:
      patterns: file patterns of gzipped TFRecords.
      info: what is known of the data set.

    Raises:
      ValueError: if no file matches.
    """
    files = sorted(tf.io.gfile.glob(patterns))
    if not files:
        raise ValueError(f"no examples: no file matches {patterns}")

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, ...]:
        example = tf.io.parse_single_example(record, _FEATURES)
        return decode(example["image"], info.image_shape), example["label"], example["weight"], example["id"]

    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return records.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def read(patterns: str | Sequence[str], info: DatasetInfo) -> Examples:
    """Reads a split into memory: H * W * C bytes an example, and little more.

    Raises:
      ValueError: if no file matches, there is no example, or a label is not that of one of `info`'s classes.
    """
    batches = list(load(patterns, info).batch(_READ_AT_ONCE).as_numpy_iterator())
    if not batches:
        raise ValueError(f"no examples in the files of {patterns}")
    examples = Examples(*(np.concatenate(column) for column in zip(*batches, strict=True)))
    low, high, classes = examples.labels.min(), examples.labels.max(), len(info.classes)
    if low < 0 or high >= classes:
        raise ValueError(
            f"{patterns}: labels reach from {low} to {high}, but the {classes} classes have 0..{classes - 1}"
        )
    return examples


def read_images(patterns: str | Sequence[str], info: DatasetInfo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [n, H, W, C], labels int64 [n] and ids (bytes) [n] of a split; raises as `read` does."""
    examples = read(patterns, info)
    return examples.images, examples.labels, examples.ids


def training_batches(examples: Examples, batch_size: int, seed: int, skip_steps: int = 0) -> tf.data.Dataset:
    """Endless batches: all examples in a new random order each epoch, epochs one after another without a gap.

    Step i sees the same batch in every run, and a run that goes on from step i reads none of the batches before.

    Args:
      examples: what to train on.
      batch_size: examples a batch; may exceed their number.
      seed: decides the order.
      skip_steps: batches that were seen already.

    Returns:
      `image` float32 [batch_size, H, W, C] in [-1, 1], `label` int64 [batch_size], `weight` float32 [batch_size].
    """
    count = len(examples.labels)
    first_epoch, offset = divmod(skip_steps * batch_size, count)
    images, labels, weights = map(tf.constant, (examples.images, examples.labels, examples.weights))

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
        rows = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seeds)
        return tf.data.Dataset.from_tensor_slices(rows)

    def gather(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "image": to_float(tf.gather(images, rows)),
            "label": tf.gather(labels, rows),
            "weight": tf.gather(weights, rows),
        }

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    batches = epochs.flat_map(order).skip(offset).batch(batch_size, drop_remainder=True)
    return batches.map(gather).prefetch(4)
