"""Looks at a GAN in training: does the discriminator overfit, does a class collapse, and what do the images look like?

A look changes nothing of the training, and equal states of training give equal figures.
"""

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.alarms import alarms
from models.data import Examples, to_float, to_uint8
from models.dataset import DatasetInfo
from models.event_log import EventLog
from models.files import write_whole
from models.gan import GAN
from models.options import MonitorOptions
from models.samples import different_images, grid, in_parts, latents, rarest_first, write_showcase

SAMPLES_DIR = "samples"
TENSORBOARD_DIR = "tensorboard"
GRID_CLASSES, GRID_COLUMNS = 20, 8
# Images of each kind in a look, all classes together: the cost of a look.
_IMAGES, _OF_A_CLASS = 400, (8, 32)

log = logging.getLogger("tailgan")


class Monitor(keras.callbacks.Callback):
    """Adds figures to the logs of a call of the graph, and writes sample grids and TensorBoard's files.

    Put it before `Progress`, which writes the logs into the history. A look, every so many steps and at the last one,
    adds
      `d_train`, `d_heldout`, `d_generated`: the discriminator's logits of different training images, of held-out ones
        and of images of the averaged generator, means over classes. Nothing is augmented.
      `overfitting`: probability that the discriminator rates a training image above a held-out one of the same class,
        mean over classes: 0.5 where it has learned what the classes look like, 1 where it knows its images by heart.
      `diversity_by_class`: {name: mean distance between two generated images over that between two different training
        images}, by pixels, for the same z at every look; None for a class whose training images are all the same one.
      `diversity`, `diversity_worst`: its mean and least.
    Of many classes, those of fewest images are looked at.
    """

    def __init__(
        self,
        gan: GAN,
        train: Examples,
        heldout: Examples,
        info: DatasetInfo,
        options: MonitorOptions,
        steps: int,
        directory: Path,
        seed: int,
    ):
        """Takes what it looks at, and where it writes.

        Args:
          gan: compiled.
          train: what it is trained on; copies are looked at once.
          heldout: images that it does not see.
          info: class names, and how many different images each class has.
          options: how often to look, and what is alarming.
          steps: the last step.
          directory: of this very training; gets `samples/` and `tensorboard/`.
          seed: of the images and z that are looked at.
        """
        super().__init__()
        self.gan, self.info, self.options, self.steps = gan, info, options, steps
        self.directory, self.seed = directory, seed
        self._labels = rarest_first(info.train_unique, _IMAGES // _OF_A_CLASS[0])
        least, most = _OF_A_CLASS
        count = min(max(_IMAGES // len(self._labels), least), most)
        self._real = {k: different_images(train, k, count, seed) for k in self._labels}
        self._heldout = {k: different_images(heldout, k, count, seed) for k in self._labels}
        self._real_distance = {k: _mean_distance(images) for k, images in self._real.items()}
        self._z = latents(count, gan.generator.inputs[0].shape[1], seed)
        self._told: set[tuple[str, str]] = set()  # alarms of the last look: (kind, class)
        self._events: EventLog | None = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Drops what an earlier run wrote of steps after the one that training goes on from."""
        self._close()
        self._step = int(self.gan.step.numpy())
        (self.directory / SAMPLES_DIR).mkdir(parents=True, exist_ok=True)
        for path in (self.directory / SAMPLES_DIR).glob("step-*.png"):
            if int(path.stem.partition("-")[2]) > self._step:
                path.unlink()
        self._events = EventLog(self.directory / TENSORBOARD_DIR, self._step)
        self._time = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the figures of a call, and looks if it is time to."""
        assert logs is not None and self._events is not None
        before, self._step = self._step, int(self.gan.step.numpy())
        now = time.monotonic()
        rate, self._time = (self._step - before) / (now - self._time), now
        if self._step // self.options.every > before // self.options.every or self._step == self.steps:
            figures, picture = self.look()
            logs.update(figures)
            self._warn(figures)
            png = tf.io.encode_png(picture).numpy()
            write_whole(self.directory / SAMPLES_DIR / f"step-{self._step:06d}.png", png)
            self._events.picture(self._step, png, *picture.shape[:2])
        self._events.figures(self._step, {"steps_per_second": rate, **logs})

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Ends TensorBoard's file."""
        self._close()

    def look(self) -> tuple[dict[str, Any], np.ndarray]:
        """The figures of the networks as they are, and the sample grid: a row a class, rarest first, a column a z."""
        made = self._generated()
        d_train, d_heldout, d_generated = (self._logits(images) for images in (self._real, self._heldout, made))
        figures: dict[str, Any] = {"d_train": _mean_of_means(d_train), "d_generated": _mean_of_means(d_generated)}
        if d_heldout:
            figures["d_heldout"] = _mean_of_means(d_heldout)
        both = d_train.keys() & d_heldout.keys()
        if both:
            figures["overfitting"] = float(np.mean([_above(d_train[k], d_heldout[k]) for k in sorted(both)]))
        of_class = {
            self.info.classes[k]: _mean_distance(made[k]) / distance if distance else None
            for k, distance in self._real_distance.items()
        }
        figures["diversity_by_class"] = of_class
        known = [ratio for ratio in of_class.values() if ratio is not None]
        if known:
            figures |= {"diversity": float(np.mean(known)), "diversity_worst": min(known)}
        return figures, grid(np.stack([made[k][:GRID_COLUMNS] for k in self._labels[:GRID_CLASSES]]))

    def publish(self, directory: Path) -> None:
        """Copies sample grids and TensorBoard's files to a directory, and writes the showcase of the end there."""
        for name in (SAMPLES_DIR, TENSORBOARD_DIR):
            shutil.copytree(self.directory / name, directory / name, dirs_exist_ok=True)
        write_showcase(self.gan.ema, self.info.train_unique, directory, self.seed)

    def _warn(self, figures: Mapping[str, Any]) -> None:
        """Tells what was not alarming at the look before."""
        found = alarms({"step": self._step, **figures}, self.options)
        names = [{(alarm.kind, name) for name in alarm.classes or ("",)} for alarm in found]
        for alarm, of_alarm in zip(found, names, strict=True):
            if of_alarm - self._told:
                log.warning("GAN: %s", alarm.text)
        self._told = set().union(*names)

    def _close(self) -> None:
        if self._events:
            self._events.close()
        self._events = None

    def _generated(self) -> dict[int, np.ndarray]:
        """Images uint8 [n, H, W, C] of each class, for the same z."""
        labels = np.repeat(self._labels, len(self._z))
        z = np.tile(self._z, (len(self._labels), 1))
        parts = [self.gan.ema([z[part], labels[part]], training=False) for part in in_parts(len(labels))]
        return _by_class(to_uint8(tf.cast(tf.concat(parts, 0), tf.float32)).numpy(), labels)

    def _logits(self, images: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Logits [n] of the images uint8 [n, H, W, C] of each class that has any."""
        if not any(map(len, images.values())):
            return {}
        pixels = np.concatenate(list(images.values()))
        labels = np.repeat(list(images), [len(of_class) for of_class in images.values()])
        parts = [
            self.gan.discriminator([to_float(pixels[part]), tf.constant(labels[part])], training=False)["logit"]
            for part in in_parts(len(labels))
        ]
        return _by_class(tf.cast(tf.concat(parts, 0), tf.float32).numpy(), labels)


def _by_class(values: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    return {int(label): values[labels == label] for label in np.unique(labels)}


def _above(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that one of `first` is larger than one of `second`, a tie being half."""
    difference = first[:, None] - second
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _mean_of_means(of_class: Mapping[int, np.ndarray]) -> float:
    return float(np.mean([values.mean() for values in of_class.values()]))


def _mean_distance(images: np.ndarray) -> float:
    """Mean Euclidean distance between two images of uint8 [n, ...]; 0 for fewer than two."""
    n = len(images)
    if n < 2:
        return 0.0
    points = images.reshape(n, -1).astype(np.float64)
    squares = np.einsum("nd,nd->n", points, points)
    # Sums of whole numbers: exact, and so is 0 for equal images.
    distances = np.sqrt(squares[:, None] + squares - 2 * points @ points.T)
    return float(distances.sum() / (n * (n - 1)))
