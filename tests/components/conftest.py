"""Real images and networks for the tests of the Evaluator."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

CLASSES = tuple(map(str, range(10)))


class Digits(NamedTuple):
    """An Examples artifact, and a judge as its Trainer exports it."""

    examples: Path
    judge: Path


def write_examples(uri: Path, parts: dict[str, Sequence[np.ndarray]], classes: Sequence[str], shards: int = 3) -> None:
    """Images uint8 [n, H, W, C] of each class in the splits `train` and `eval`, as ExampleGen writes them."""
    from components import examples
    from components.example_gen.images import encode_png
    from components.example_gen.split import content_hash
    from models.dataset import DatasetInfo

    for split in ("train", "eval"):
        rows = [(label, image) for label, images in enumerate(parts[split]) for image in images]
        order = np.random.default_rng(0).permutation(len(rows))
        for shard in range(shards):
            with examples.writer(f"{examples.split_dir(str(uri), split)}/{examples.shard_name(shard, shards)}") as out:
                for label, image in (rows[row] for row in order[shard::shards]):
                    id = content_hash(image, None).hex().encode()
                    out.write(examples.serialize(encode_png(image), label, id))
    counts = {split: tuple(map(len, parts[split])) for split in ("train", "eval")}
    DatasetInfo(
        classes=tuple(classes), image_shape=parts["train"][0].shape[1:], fingerprint=str(uri), counts=counts,
        train_unique=counts["train"], source_counts=counts["train"], class_weights=(1.0,) * len(classes),
    ).save(str(uri))  # fmt: skip


def export_judge(path: Path, images: Sequence[np.ndarray], steps: int) -> Path:
    """A judge that has been trained for so many steps on images of each class."""
    import tensorflow as tf

    from models.classifier_options import ClassifierOptions
    from models.data import Examples
    from models.judge import JudgeModule, train

    labels = np.repeat(np.arange(len(images)), [len(of_class) for of_class in images]).astype(np.int64)
    found = Examples(np.concatenate(images), labels, np.ones(len(labels), np.float32), np.full(len(labels), b""))
    history = path.with_suffix(".jsonl")
    module = JudgeModule(train(ClassifierOptions(steps=steps), found, len(images), 0, history))
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.judge})
    return path


@pytest.fixture(scope="session")
def digits(tmp_path_factory, digit_parts) -> Digits:
    """The digits, with a judge that knows a little of them."""
    folder = tmp_path_factory.mktemp("digits")
    write_examples(folder / "examples", digit_parts, CLASSES)
    return Digits(folder / "examples", export_judge(folder / "judge", digit_parts["train"], 150))


@pytest.fixture(scope="session")
def write() -> Callable:
    """`write_examples`, for tests."""
    return write_examples
