"""Training data that do not fit into memory: read from their files in each epoch, in an order that a seed decides.

An epoch reads its files in a new order, several at a time; what they hold is shuffled in blocks that are kept encoded.
Every choice is a stateless function of seed, epoch and block, so a run that goes on in the middle of an epoch finds its
place by passing over records, without decoding them.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from models.data import (
    Missing,
    TrainingData,
    as_batch,
    check_batch_size,
    check_labels,
    decoded,
    read,
    shards,
)
from models.dataset import UNLABELLED, DatasetInfo

_FILES_AT_ONCE = 16
# Records of a file that follow one another; copies of an image lie together, and blocks take them apart again.
_FROM_EACH = 16
# A block is shuffled whole. Encoded images are rarely larger than decoded ones.
_BLOCK_BYTES = 64 * 2**20
_BLOCK_RECORDS = (256, 16384)
_BATCHES_AHEAD = 2
_COUNTED_AT_ONCE = 1024
_LABEL = {"label": tf.io.FixedLenFeature([], tf.int64)}


@dataclass(frozen=True)
class Stream:
    """Examples in files; a `TrainingData`.

    Attributes:
      files: gzipped TFRecords.
      info: what is known of the data set.
      missing: what becomes of missing pixels.
      labels: [n] int64, of all examples in the order of the files.
      only_labelled: whether examples without a label, which `labels` then lacks, are passed over.
    """

    files: Sequence[str]
    info: DatasetInfo
    missing: Missing
    labels: np.ndarray
    only_labelled: bool = False

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
        return self.info.image_shape

    @property
    def has_masks(self) -> bool:
        """Whether batches have a `mask`."""
        return self.info.has_masks and self.missing == "mask"

    def counts(self, classes: int) -> list[int]:
        """Labelled examples of each of so many classes."""
        return np.bincount(self.labels[self.labels != UNLABELLED], minlength=classes).tolist()

    def labelled(self) -> "Stream":
        """Those that have a label."""
        return dataclasses.replace(self, labels=self.labels[self.labels != UNLABELLED], only_labelled=True)

    def fingerprint(self) -> str:
        """Hex digest of the bytes of all files, and of what decides their order."""
        digest = hashlib.sha256(repr(("stream", self.missing, self.block, self.only_labelled)).encode())
        for path in self.files:
            with tf.io.gfile.GFile(path, "rb") as file:
                while piece := file.read(2**22):
                    digest.update(piece)
            digest.update(b"end of a file")
        return digest.hexdigest()

    @property
    def block(self) -> int:
        """Records that are shuffled together."""
        return int(np.clip(_BLOCK_BYTES // np.prod(self.image_shape), *_BLOCK_RECORDS))

    def batches(self, batch_size: int, seed: int, skip_steps: int = 0, at_once: int = 1) -> tf.data.Dataset:
        """Endless batches, see `TrainingData.batches`."""
        check_batch_size(batch_size, self.count)
        size = batch_size * at_once
        first_epoch, offset = divmod(skip_steps * size, self.count)
        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
        records = epochs.flat_map(lambda epoch: self._epoch(tf.stack([tf.constant(seed, tf.int64), epoch])))
        # Whole batches throughout: the stream never ends.
        columns = decoded(records.skip(offset), self.info, size, self.missing)
        return columns.map(lambda batch: _fixed(batch, size)).prefetch(_BATCHES_AHEAD)

    def _epoch(self, seeds: tf.Tensor) -> tf.data.Dataset:
        """All serialized examples, once each, in the order of an epoch of seeds int64 [2]."""

        def read_file(path: tf.Tensor) -> tf.data.Dataset:
            return tf.data.TFRecordDataset(path, compression_type="GZIP")

        def shuffled(block: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensor_slices(_shuffle(records, seeds, block + 1))

        files = tf.data.Dataset.from_tensor_slices(_shuffle(tf.constant(self.files), seeds, tf.constant(0, tf.int64)))
        records = files.interleave(
            read_file, cycle_length=min(_FILES_AT_ONCE, len(self.files)), block_length=_FROM_EACH, deterministic=True
        )
        if self.only_labelled:
            records = records.filter(lambda record: tf.io.parse_single_example(record, _LABEL)["label"] != UNLABELLED)
        return records.batch(self.block).enumerate().flat_map(shuffled)


def _shuffle(values: tf.Tensor, seeds: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    own = tf.random.experimental.stateless_fold_in(seeds, stream)
    return tf.random.experimental.stateless_shuffle(values, own)


def _fixed(columns: dict[str, tf.Tensor], size: int) -> dict[str, tf.Tensor]:
    """Columns of `size` examples as a batch of this static size."""
    names = [name for name in ("image", "label", "weight", "mask") if name in columns]
    return as_batch(*(tf.ensure_shape(columns[name], (size, *columns[name].shape[1:])) for name in names))


def training_data(
    patterns: str | Sequence[str], info: DatasetInfo, cache_megabytes: int, missing: Missing = "interpolate"
) -> TrainingData:
    """The train split: in memory where its decoded images fit into `cache_megabytes`, streamed otherwise.

    Args:
      patterns: file patterns of gzipped TFRecords.
      info: what is known of the data set.
      cache_megabytes: largest size of images and masks in memory, in units of 2^20 bytes.
      missing: what becomes of missing pixels, where the data set has any.

    Raises:
      ValueError: if no file matches, there is no example, or a label is none of the data set's.
    """
    height, width, channels = info.image_shape
    masked = info.has_masks and missing == "mask"
    count = sum(info.counts["train"]) + info.unlabelled
    if count * height * width * (channels + masked) <= cache_megabytes * 2**20:
        return read(patterns, info, missing)
    files = shards(patterns)
    labels = _labels(files)
    if not labels.size:
        raise ValueError(f"no examples in the files of {patterns}")
    check_labels(int(labels.min()), int(labels.max()), info, patterns)
    return Stream(files, info, missing, labels)


def _labels(files: Sequence[str]) -> np.ndarray:
    """int64 [n], the labels of all examples in the order of the files; no image is decoded."""
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_COUNTED_AT_ONCE)
    columns = records.map(lambda batch: tf.io.parse_example(batch, _LABEL)["label"])
    return np.concatenate([np.zeros(0, np.int64), *columns.as_numpy_iterator()])
