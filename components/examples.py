"""The wire format of Examples artifacts, shared by the components that write and read them.

An artifact holds `Split-<split>/data_tfrecord-<i>-of-<n>.gz` (gzipped TFRecords of tf.train.Example) and `dataset.json`
(see models/dataset.py). An example has `image` (PNG bytes), `label` (int64; -1 where there is no class, in train only),
`id` (bytes), where pixels may be missing `mask` (PNG bytes, uint8 [H, W, 1], 0 where they are, else 255), and after the
Rebalancer `weight` (float32).
"""

import os
from collections.abc import Iterator
from typing import Literal

import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils

SPLITS = ("train", "eval")
# The lowest level: PNGs do not compress any further, and copies of an image, which do, are found at every level.
_GZIP = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)


def split_dir(uri: str, split: str) -> str:
    """Directory of a split in the Examples artifact at `uri`."""
    return os.path.join(uri, f"Split-{split}")


def shard_name(index: int, shards: int) -> str:
    """File name of shard `index` (from 0) of `shards`."""
    return f"data_tfrecord-{index:05d}-of-{shards:05d}.gz"


def describe(artifact: Artifact, span: int = 0, version: int = 0) -> None:
    """Sets the properties of an Examples artifact that TFX's components read: splits, payload format, span, version."""
    artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    artifact.span = span
    artifact.version = version


def serialize(image: bytes, label: int, id: bytes, mask: bytes = b"") -> bytes:
    """One serialized tf.train.Example of PNG bytes, label, id and, if it is not empty, the PNG bytes of a mask."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(image)
    feature["label"].int64_list.value.append(label)
    feature["id"].bytes_list.value.append(id)
    if mask:
        feature["mask"].bytes_list.value.append(mask)
    return example.SerializeToString(deterministic=True)


def writer(path: str) -> tf.io.TFRecordWriter:
    """A writer of one shard; the directory is made. Use it as a context manager."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    return tf.io.TFRecordWriter(path, _GZIP)


def read(path: str, compression: Literal["GZIP", ""] = "GZIP") -> Iterator[bytes]:
    """Streams the serialized examples of one shard."""
    # In batches: handing single records to Python takes longer than all the rest of reading them.
    for batch in tf.data.TFRecordDataset(path, compression).batch(64).as_numpy_iterator():
        yield from batch


def shards(uri: str, split: str) -> list[str]:
    """Paths of a split's shards, in order."""
    return sorted(tf.io.gfile.glob(os.path.join(split_dir(uri, split), "data_tfrecord-*.gz")))
