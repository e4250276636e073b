"""Warm start: a GAN goes on from where the training of the generator that serves ended.

That is its checkpoint, not the exported generator: discriminator, averaged generator and the optimizers' moments go on
too. All that counts from the beginning of a training begins anew: steps, learning-rate schedules, terms, ADA.
"""

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from models import versions
from models.data import shards
from models.errors import UserError
from models.files import write_whole
from models.gan import GAN

IDENTITY_FILE = "training.json"
SEEN_FILE = "seen.npy"  # of what images a training, and those that it went on from, have learned

# What two trainings must have in common so that one can go on from the other: what decides their variables.
_FACTS = ("classes", "image_shape", "unlabelled")
_OPTIONS = ("network", "width", "depth", "latent", "generator", "discriminator")
_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")
_OF_AN_OPTIMIZER = ("name", "momentum")

log = logging.getLogger("tailgan")


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    Attributes:
      training: name of the directory of the training that it goes on from; None if it begins anew.
      anew: why it begins anew although a warm start was asked for; None otherwise.
      values: the variables of that training at its end, as `GAN.state` lists them.
      seen: what that training has learned from, see `images`.
    """

    training: str | None = None
    anew: str | None = None
    values: tuple[np.ndarray, ...] = ()
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))


def images(patterns: str | Sequence[str]) -> np.ndarray:
    """uint64 [n], sorted: the different images of a split, by hashes of their ids; those without an id are left out.

    Args:
      patterns: file patterns of gzipped TFRecords.
    """
    feature = {"id": tf.io.FixedLenFeature([], tf.string, default_value="")}
    batches = tf.data.TFRecordDataset(shards(patterns), compression_type="GZIP").batch(1024)
    parsed = batches.map(lambda records: tf.io.parse_example(records, feature)["id"])
    ids = {name for batch in parsed.as_numpy_iterator() for name in batch.tolist()} - {b""}
    return np.sort([np.frombuffer(hashlib.sha256(name).digest(), np.uint64, 1)[0] for name in ids]).astype(np.uint64)


def note(directory: Path, start: Start, train: np.ndarray) -> None:
    """Leaves beside a training's checkpoints what `images` it learns from."""
    content = io.BytesIO()
    np.save(content, np.union1d(start.seen, train))
    write_whole(directory / SEEN_FILE, content.getvalue())


def find(
    identity: dict[str, Any], serving_dir: Path, checkpoints: Path, train: np.ndarray, held_out: np.ndarray
) -> Start:
    """What a training that asks for a warm start begins with, as things are.

    From one that has learned from an image which is held out now it does not go on: to the gate, it would look better
    than it is. Nor from one that has learned from none of the images there are: they may be the same ones, resized in
    another way, and then nothing tells which of them it knows.

    Args:
      identity: of the training, as `models.training.identity` makes it.
      serving_dir: base path of the versions; the newest complete one serves.
      checkpoints: directory of the trainings' directories.
      train: the `images` that there are to learn from.
      held_out: those that the generator will be judged by.
    """
    served = versions.complete(serving_dir)
    if not served:
        return _anew("no version serves")
    version = max(served)
    name = versions.training(served[version])
    if name is None:
        return _anew(f"version {version}, which serves, does not say what training it came from")
    try:
        before = json.loads((checkpoints / name / IDENTITY_FILE).read_text(encoding="utf-8"))
        different = _difference(before, identity)
        seen = np.load(checkpoints / name / SEEN_FILE)
    except (OSError, ValueError, KeyError, TypeError):
        return _anew(f"the training of version {version}, which serves, is not in {checkpoints / name}")
    if different:
        return _anew(f"{different} other than in the training of version {version}, which serves")
    if not np.isin(train, seen).any():
        return _anew(f"version {version}, which serves, has learned from none of the images that there are now")
    if leaked := np.isin(held_out, seen).sum():
        return _anew(f"version {version}, which serves, has learned from {leaked} images that are held out now")
    values = read(checkpoints / name)
    if not values:
        return _anew(f"no checkpoint in {checkpoints / name}, of version {version}, which serves, can be read")
    log.info("GAN: going on from the training of version %d, which serves (%s)", version, name)
    return Start(name, values=values, seen=seen)


def _anew(reason: str) -> Start:
    log.info("GAN: trained anew, because %s", reason)
    return Start(anew=reason)


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The first thing that keeps one training from going on from another, with its verb; None if nothing does."""
    for key in _FACTS:
        if before[key] != now[key]:
            return {"classes": "classes are", "image_shape": "the image shape is"}.get(key, "unlabelled images are")
    for key in _OPTIONS:
        if before["options"][key] != now["options"][key]:
            return f"`gan.{key}` is"
    for optimizer in _OPTIMIZERS:
        for key in _OF_AN_OPTIMIZER:
            if before["options"][optimizer][key] != now["options"][optimizer][key]:
                return f"`gan.{optimizer}.{key}` is"
    return None


def read(directory: Path) -> tuple[np.ndarray, ...]:
    """The variables of the newest checkpoint that can be read; nothing where there is none."""
    paths = tf.train.get_checkpoint_state(str(directory))
    for path in reversed(paths.all_model_checkpoint_paths if paths else ()):
        try:
            reader = tf.train.load_checkpoint(path)
            names = [name for name in reader.get_variable_to_shape_map() if name.startswith("state/")]
            names.sort(key=lambda name: int(name.split("/")[1]))
            return tuple(np.asarray(reader.get_tensor(name)) for name in names)
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            log.warning("checkpoint %s cannot be read: %s", path, str(error).partition("\n")[0])
    return ()


def begin(gan: GAN, start: Start) -> None:
    """Gives a GAN before its first step what it goes on from; leaves it alone if it begins anew.

    Raises:
      UserError: if the variables are those of another GAN, as another version of tailgan may have made it.
    """
    if start.training is None:
        return
    carried = gan.carried()
    counters, values = start.values[:2], start.values[2 : 2 + len(carried)]
    if [tuple(variable.shape) for variable in carried] != [value.shape for value in values]:
        raise UserError(
            f"training {start.training}, of what serves, had other variables than this one; `null` trains anew",
            key="gan.warm_start",
        )
    for variable, value in zip(carried, values, strict=True):
        variable.assign(value)
    gan.steps_before.assign(sum(int(counter) for counter in counters))
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        optimizer.restart_schedule()
