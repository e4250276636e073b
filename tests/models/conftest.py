"""Scanned digits made long-tailed, in memory and as the files a Trainer is given."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from models.data import Examples
from models.dataset import DatasetInfo

CLASSES = tuple(map(str, range(10)))


@pytest.fixture(autouse=True)
def seed():
    """Weights that a test draws without a seed of their own are the same in every run, alone or among others."""
    keras.utils.set_random_seed(0)


class Digits(NamedTuple):
    """A long-tailed train split (ratio 10), and all held-out images."""

    train: Examples
    eval: Examples


def examples_of(images: np.ndarray, labels: np.ndarray) -> Examples:
    pixels = [zlib.crc32(np.ascontiguousarray(image)) for image in images]  # no image of train has an id of eval
    ids = np.array([f"{label}-{row}-{of}".encode() for row, (label, of) in enumerate(zip(labels, pixels, strict=True))])
    return Examples(images, labels, np.ones(len(labels), np.float32), ids)


def info_of(train: Examples, classes: Sequence[str] = CLASSES) -> DatasetInfo:
    counts = tuple(train.counts(len(classes)))
    return DatasetInfo(
        classes=tuple(classes),
        image_shape=train.images.shape[1:],
        fingerprint="f" * 64,
        counts={"train": counts, "eval": counts},
        train_unique=counts,
        source_counts=counts,
        class_weights=(1.0,) * len(classes),
        unlabelled=train.unlabelled,
        has_masks=train.has_masks,
    )


def write_split(directory: Path, examples: Examples, shards: int = 2, weighted: bool = True) -> str:
    """Writes gzipped TFRecords and returns their pattern."""
    directory.mkdir(parents=True)
    for shard in range(shards):
        path = directory / f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as out:
            for row in np.array_split(np.arange(len(examples.labels)), shards)[shard]:
                feature = {
                    "image": _bytes(tf.io.encode_png(examples.images[row]).numpy()),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[examples.labels[row]])),
                    "id": _bytes(examples.ids[row]),
                }
                if examples.masks is not None:
                    feature["mask"] = _bytes(tf.io.encode_png(examples.masks[row] * 255).numpy())
                if weighted:
                    weights = tf.train.FloatList(value=[examples.weights[row]])
                    feature["weight"] = tf.train.Feature(float_list=weights)
                out.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return f"{directory}/*"


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(examples_of=examples_of, info_of=info_of, write_split=write_split)


@pytest.fixture(scope="session")
def digits() -> Digits:
    data = load_digits()
    images = np.round(data.images / 16 * 255).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target[order].astype(np.int64)
    held_out = len(labels) // 5
    rest_images, rest_labels = images[held_out:], labels[held_out:]
    largest = int(np.sum(rest_labels == 0))
    kept = np.concatenate([np.flatnonzero(rest_labels == k)[: int(largest * 10 ** (-k / 9))] for k in range(10)])
    return Digits(examples_of(rest_images[kept], rest_labels[kept]), examples_of(images[:held_out], labels[:held_out]))


@pytest.fixture(scope="session")
def balanced(digits) -> Examples:
    """The train split with every class repeated up to the largest."""
    largest = np.bincount(digits.train.labels).max()
    rows = np.concatenate([np.resize(np.flatnonzero(digits.train.labels == k), largest) for k in range(10)])
    return examples_of(digits.train.images[rows], digits.train.labels[rows])


@pytest.fixture
def fn_args(tmp_path, digits, balanced) -> Callable[..., SimpleNamespace]:
    """Arguments as TFX's Trainer gives them; each call has output directories of its own."""
    calls = iter(range(100))
    uri = tmp_path / "examples"
    train = write_split(uri / "Split-train", balanced)
    held_out = write_split(uri / "Split-eval", digits.eval, weighted=False)
    info_of(balanced).save(str(uri))

    def make(hyperparameters=None, **custom_config) -> SimpleNamespace:
        out = tmp_path / f"out-{next(calls)}"
        return SimpleNamespace(
            train_files=[train],
            eval_files=[held_out],
            hyperparameters=hyperparameters,
            custom_config={
                "seed": 0,
                "code_version": "c",
                "checkpoint_root": str(tmp_path / "checkpoints"),
                "serving_dir": str(tmp_path / "serving"),
                **custom_config,
            },
            serving_model_dir=str(out / "Format-Serving"),
            model_run_dir=str(out / "model_run"),
        )

    return make


@pytest.fixture(scope="session")
def judge(digits, tmp_path_factory):
    """A judge trained as the defaults say."""
    from models.classifier_options import ClassifierOptions
    from models.judge import JudgeModule, train

    history = tmp_path_factory.mktemp("judge") / "history.jsonl"
    return JudgeModule(train(ClassifierOptions(), digits.train, 10, 0, history))


@pytest.fixture(scope="session")
def network():
    """A generator of digits whose labels differ as training would make them."""
    from models.networks import build_networks
    from models.options import GANOptions

    keras.utils.set_random_seed(0)
    generator, _ = build_networks(GANOptions(width=8, latent={"dim": 8}), (8, 8, 1), classes=10)
    random = np.random.default_rng(0)
    for variable in generator.trainable_variables:
        variable.assign(variable + 0.5 * random.normal(size=variable.shape))
    return generator


@pytest.fixture(scope="session")
def image_filter():
    """A filter that passes some of the images of `network`."""
    from models.classifier import classifier
    from models.helper import OPTIONS
    from models.signatures import Filter

    keras.utils.set_random_seed(1)
    return Filter(classifier(OPTIONS, (8, 8, 1), 10), candidates=3, threshold=0.0, accuracy=0.1)


@pytest.fixture(scope="session")
def exported(network, image_filter, digits, tmp_path_factory) -> str:
    """Directory of `network` as a SavedModel, with a filter."""
    from models.export import export_generator

    path = str(tmp_path_factory.mktemp("exported") / "model")
    export_generator(network, path, info_of(digits.train), {"steps": 7}, image_filter)
    return path
