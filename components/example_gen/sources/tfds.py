"""An image-classification data set that TensorFlow Datasets has prepared on disk."""

import difflib
import hashlib
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters

from components.example_gen.sources.base import RawImage, Split, chunk_count, ranges
from models.errors import UserError

_SPLITS: dict[str, Split] = {"train": "train", "validation": "eval", "test": "eval"}

# A part is found by a read from the start of its file, so parts are larger than those of a folder.
_SMALLEST_PART = 8192

Part = tuple[str, int, int]  # split as TFDS names it, lo, hi


class Tfds:
    """Train split -> train, validation and test -> eval; where only one of these is there, it is split anew."""

    span = 0
    ignored: tuple[str, ...] = ()

    def __init__(self, name: str, data_dir: str | None):
        """Opens it; nothing is downloaded.

        Raises:
          UserError: if there is no such data set, it is not prepared, or it is not one of labelled images.
        """
        self._builder = _prepared_builder(name, data_dir)
        self._image, self._label = _keys(self._builder, name)
        label = self._builder.info.features[self._label]
        self.classes = tuple(label.int2str(i) for i in range(label.num_classes))
        infos = self._builder.info.splits
        self._splits = [split for split in sorted(infos) if split in _SPLITS and infos[split].num_examples]
        if not self._splits:
            raise UserError(f"TFDS data set `{name}` has none of {', '.join(_SPLITS)}, only {', '.join(sorted(infos))}")
        self._has_both = {_SPLITS[split] for split in self._splits} == {"train", "eval"}

    def fingerprint(self) -> str:
        """Of the names, sizes and times of its files."""
        digest = hashlib.blake2b(self._builder.info.full_name.encode(), digest_size=16)
        for name in sorted(tf.io.gfile.listdir(self._builder.data_dir)):
            stat = tf.io.gfile.stat(os.path.join(self._builder.data_dir, name))
            digest.update(f"{name}\0{stat.length}\0{stat.mtime_nsec}\0".encode())
        return digest.hexdigest()

    def chunks(self) -> list[Part]:
        """Ranges of each split; TFDS has shuffled the images when it prepared them."""
        sizes = {split: self._builder.info.splits[split].num_examples for split in self._splits}
        parts = {split: chunk_count(size, _SMALLEST_PART) for split, size in sizes.items()}
        return [(split, lo, hi) for split in self._splits for lo, hi in ranges(sizes[split], parts[split])]

    def read(self, chunk: Part) -> Iterator[RawImage]:
        """The images of a range, still encoded."""
        name, lo, hi = chunk
        split = _SPLITS[name] if self._has_both else None
        position = lo
        for batch in self._batches(f"{name}[{lo}:{hi}]"):
            for image, label in zip(batch[self._image], batch[self._label].tolist(), strict=True):
                yield RawImage(f"{name}[{position}]", label, image, split)
                position += 1

    def _batches(self, part: str) -> Iterator[dict[str, np.ndarray]]:
        """Encoded images and labels of a part, some hundred at a time.

        TFDS's own `as_dataset` parses example by example, which takes ten times as long as all the rest of reading.
        """
        adapter = file_adapters.ADAPTER_FOR_FORMAT[self._builder.info.file_format]
        features = {
            self._image: tf.io.FixedLenFeature((), tf.string),
            self._label: tf.io.FixedLenFeature((), tf.int64),
        }
        for file in self._builder.info.splits[part].file_instructions:
            data = adapter.make_tf_data(file.filename).skip(file.skip)
            examples = data.take(file.take).batch(256)
            yield from examples.map(lambda batch: tf.io.parse_example(batch, features)).as_numpy_iterator()


def _prepared_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        hint = f"; did you mean {' or '.join(f'`{found}`' for found in near)}?" if near else ""
        raise UserError(f"unknown TFDS data set `{name}`{hint}") from None
    # An unknown configuration or version, or a name that cannot be parsed, is an error of one of many kinds.
    except Exception as error:
        raise UserError(f"TFDS data set `{name}` cannot be opened: {' '.join(str(error).split())}") from error
    if not builder.is_prepared():
        place = os.path.expanduser(data_dir) if data_dir else str(tfds.core.constants.DATA_DIR)
        raise UserError(
            f"TFDS data set `{name}` is not prepared in {builder.data_dir}; where there is a network, "
            f"`tfds build {name} --data_dir={place}` prepares it, or `data.data_dir` names another place"
        )
    return builder


def _keys(builder: tfds.core.DatasetBuilder, name: str) -> tuple[str, str]:
    """Names of the features that are the image and the label: the supervised keys, or the only ones of their kinds."""
    keys, features = builder.info.supervised_keys, builder.info.features
    if keys is None:
        kinds = (tfds.features.Image, tfds.features.ClassLabel)
        keys = tuple(key for kind in kinds for key, feature in features.items() if isinstance(feature, kind))
    if len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (features[key] for key in keys)
        is_classification = isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel)
        if is_classification and image.dtype in (np.uint8, np.uint16):
            return keys
    found = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
    raise UserError(
        f"TFDS data set `{name}` is not one of whole-number images with one class label each; its features are {found}"
    )
