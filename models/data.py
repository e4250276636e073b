"""Reading examples: PNG bytes in gzipped TFRecords -> images in memory -> batches for training.

This is the one place where images are decoded. In memory they are uint8; in models float32 in [-1, 1]. What does not
fit into memory is streamed (models/stream.py).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import tensorflow as tf

from models.dataset import UNLABELLED, DatasetInfo
from models.errors import UserError
from models.missing import fill

# What becomes of missing pixels: they are filled in where images are read, or their masks go along.
Missing = Literal["interpolate", "mask"]

_READ_AT_ONCE = 1024
_FILLED_BYTES = 4 * 2**20
_PREFETCHED = 4


class TrainingData(Protocol):
    """Examples to train on, wherever they are held."""

    @property
    def count(self) -> int:
        """Examples, copies included."""

    @property
    def unlabelled(self) -> int:
        """How many of them have no label."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""

    @property
    def has_masks(self) -> bool:
        """Whether batches have a `mask`."""

    def counts(self, classes: int) -> list[int]:
        """Labelled examples of each of so many classes."""

    def labelled(self) -> "TrainingData":
        """Those that have a label."""

    def fingerprint(self) -> str:
        """Hex digest of all that decides the batches of a seed."""

    def batches(self, batch_size: int, seed: int, skip_steps: int = 0, at_once: int = 1) -> tf.data.Dataset:
        """Endless batches: all examples in a new random order each epoch, epochs one after another without a gap.

        Step i sees the same batch in every run, and a run that goes on from step i decodes none of the images before.

        Args:
          batch_size: examples a batch.
          seed: decides the order.
          skip_steps: steps that were made already.
          at_once: batches of a step, one behind the other in one.

        Returns:
          With n = at_once * batch_size: `image` float32 [n, H, W, C] in [-1, 1], `label` int64 [n] (-1: none), `weight`
          float32 [n], and where there are masks `mask` float32 [n, H, W, 1], 0 where a pixel is missing, else 1.

        Raises:
          UserError: if a batch is larger than the data.
        """


@dataclass(frozen=True)
class Examples:
    """Examples in memory, in the order of the files; a `TrainingData`.

    Attributes:
      images: [n, H, W, C] uint8.
      labels: [n] int64, 0..K-1, or -1 where there is none.
      weights: [n] float32 loss weights, 1 where the files have none.
      ids: [n] bytes.
      masks: [n, H, W, 1] uint8, 0 where a pixel is missing (which is 0 in `images`) and 1 elsewhere; None where no
        pixel is, or all have been filled in.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    ids: np.ndarray
    masks: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray | slice) -> "Examples":
        """Some of the examples, by index or as a mask says."""
        masks = None if self.masks is None else self.masks[rows]
        return Examples(self.images[rows], self.labels[rows], self.weights[rows], self.ids[rows], masks)

    def labelled(self) -> "Examples":
        """Those that have a label."""
        return self[self.labels != UNLABELLED] if self.unlabelled else self

    @property
    def count(self) -> int:
        """Examples, copies included."""
        return len(self.labels)

    @property
    def unlabelled(self) -> int:
        """How many of them have no label."""
        return int(np.sum(self.labels == UNLABELLED))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def has_masks(self) -> bool:
        """Whether batches have a `mask`."""
        return self.masks is not None

    def counts(self, classes: int) -> list[int]:
        """Labelled examples of each of so many classes."""
        return np.bincount(self.labels[self.labels != UNLABELLED], minlength=classes).tolist()

    def fingerprint(self) -> str:
        """Hex digest of all that training sees: images, labels, weights and masks, copies and order included."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels, self.weights, *([] if self.masks is None else [self.masks])):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def batches(self, batch_size: int, seed: int, skip_steps: int = 0, at_once: int = 1) -> tf.data.Dataset:
        """Endless batches, see `TrainingData.batches`."""
        check_batch_size(batch_size, self.count)
        size = batch_size * at_once
        first_epoch, offset = divmod(skip_steps * size, self.count)
        columns = [column for column in (self.images, self.labels, self.weights, self.masks) if column is not None]
        tensors = [tf.constant(column) for column in columns]

        def order(epoch: tf.Tensor) -> tf.data.Dataset:
            seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
            rows = tf.random.experimental.stateless_shuffle(tf.range(self.count, dtype=tf.int64), seeds)
            return tf.data.Dataset.from_tensor_slices(rows)

        def gather(rows: tf.Tensor) -> dict[str, tf.Tensor]:
            return as_batch(*(tf.gather(tensor, rows) for tensor in tensors))

        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
        batches = epochs.flat_map(order).skip(offset).batch(size, drop_remainder=True)
        return batches.map(gather).prefetch(_PREFETCHED)


def check_batch_size(batch_size: int, count: int) -> None:
    """Refuses a batch that is larger than the data.

    Raises:
      UserError: naming both numbers.
    """
    if batch_size > count:
        raise UserError(
            f"a batch of {batch_size} images is larger than the {count} there are to train on; `all` takes them all",
            key="gan.batch_size",
        )


def as_batch(
    images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, masks: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """Columns as they are held, images and masks uint8 -> a batch as `TrainingData.batches` describes it."""
    batch = {"image": to_float(images), "label": labels, "weight": weights}
    return batch if masks is None else {**batch, "mask": tf.cast(masks, tf.float32)}


def decode(png: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    """PNG bytes (a scalar string) -> image, uint8 of exactly `image_shape` (H, W, C)."""
    return tf.ensure_shape(tf.io.decode_png(png, channels=image_shape[-1]), image_shape)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """uint8 of any shape -> float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float32 in [-1, 1] of any shape -> uint8: the inverse of `to_float`, to the nearest level."""
    return tf.cast(tf.round(tf.clip_by_value((images + 1.0) * 127.5, 0.0, 255.0)), tf.uint8)


def shards(patterns: str | Sequence[str]) -> list[str]:
    """Paths of the files that match, in order.

    Raises:
      ValueError: if there is none.
    """
    files = sorted(tf.io.gfile.glob(patterns))
    if not files:
        raise ValueError(f"no examples: no file matches {patterns}")
    return files


def decoded(records: tf.data.Dataset, info: DatasetInfo, batch_size: int, missing: Missing) -> tf.data.Dataset:
    """Serialized examples -> batches of columns, in the same order.

    Args:
      records: scalar strings.
      info: what is known of the data set.
      batch_size: examples a batch; the last one may have fewer.
      missing: what becomes of missing pixels, where the data set has any.

    Returns:
      `image` uint8 [n, H, W, C], `label` int64 [n], `weight` float32 [n], `id` string [n], and with `missing: mask`
      `mask` uint8 [n, H, W, 1], 0 or 1.
    """
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "weight": tf.io.FixedLenFeature([], tf.float32, default_value=1.0),
        "id": tf.io.FixedLenFeature([], tf.string, default_value=""),
    }
    if info.has_masks:
        features["mask"] = tf.io.FixedLenFeature([], tf.string)

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        example["image"] = decode(example["image"], info.image_shape)
        if info.has_masks:
            example["mask"] = decode(example["mask"], (*info.image_shape[:2], 1)) // 255
        return example

    def filled(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        mask = columns.pop("mask")
        return {**columns, "image": fill(columns["image"], mask)}

    batches = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(batch_size)
    return batches.map(filled) if info.has_masks and missing == "interpolate" else batches


def read(patterns: str | Sequence[str], info: DatasetInfo, missing: Missing = "interpolate") -> Examples:
    """Reads a split into memory: H * W * C bytes an example, as much again for a moment (and in `batches`).

    Args:
      patterns: file patterns of gzipped TFRecords.
      info: what is known of the data set.
      missing: what becomes of missing pixels, where the data set has any.

    Raises:
      ValueError: if no file matches, there is no example, or a label is not that of one of `info`'s classes, nor -1
        where there are unlabelled images.
    """
    records = tf.data.TFRecordDataset(shards(patterns), compression_type="GZIP")
    filling = info.has_masks and missing == "interpolate"  # which takes some forty times the memory of the images
    at_once = int(np.clip(_FILLED_BYTES // np.prod(info.image_shape), 1, _READ_AT_ONCE)) if filling else _READ_AT_ONCE
    batches = list(decoded(records, info, at_once, missing).as_numpy_iterator())
    if not batches:
        raise ValueError(f"no examples in the files of {patterns}")
    columns = {name: np.concatenate([batch.pop(name) for batch in batches]) for name in list(batches[0])}
    examples = Examples(columns["image"], columns["label"], columns["weight"], columns["id"], columns.get("mask"))
    check_labels(int(examples.labels.min()), int(examples.labels.max()), info, patterns)
    return examples


def check_labels(low: int, high: int, info: DatasetInfo, patterns: str | Sequence[str]) -> None:
    """Refuses labels that are none of the data set's.

    Raises:
      ValueError: naming the lowest and the highest label that were found.
    """
    classes = len(info.classes)
    if low < (UNLABELLED if info.unlabelled else 0) or high >= classes:
        raise ValueError(
            f"{patterns}: labels reach from {low} to {high}, but the {classes} classes have 0..{classes - 1}"
        )


def read_images(patterns: str | Sequence[str], info: DatasetInfo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [n, H, W, C] with missing pixels filled in, labels int64 [n] and ids (bytes) [n] of a split.

    Raises as `read` does.
    """
    examples = read(patterns, info)
    return examples.images, examples.labels, examples.ids
