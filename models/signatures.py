"""The signatures of an exported generator, in operations that a stock TensorFlow Serving has.

Row i of an answer depends on row i of the question alone. What is wrong with a row stands in its `status`, and the rows
beside it are answered all the same; only columns of unequal length fail as a whole. The latent vector of a row is the
same in every question. So are its pixels in questions of equal length; between others, where sums are added up in
another order, they may be one grey level apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from models.data import to_float, to_uint8

SERVING_DEFAULT = "serving_default"
OK = "ok"
MAX_TRUNCATION = 2.0
_SHOWN_NAMES, _SHOWN_CHARACTERS = 20, 60  # in the status of a row


@dataclass(frozen=True)
class Filter:
    """What the images of the signature `filtered` must pass.

    Attributes:
      helper: images [n, H, W, C] float32 in [-1, 1] -> (logits [n, K], features); never the judge.
      candidates: images that are drawn for a row at most.
      threshold: least probability of the label that was asked for, which must also be the likeliest.
      accuracy: part of held-out images that the helper recognizes; changes no answer.
    """

    helper: keras.Model
    candidates: int
    threshold: float
    accuracy: float


class GeneratorModule(tf.Module):
    """A generator with its signatures.

    Attributes:
      classes: K names; the label of `classes[k]` is k.
      filter: what the signature `filtered` needs; without it, there is none.
      image_shape: (H, W, C).
      latent_dim: d.
    """

    def __init__(self, generator: keras.Model, classes: Sequence[str], image_filter: Filter | None = None):
        """Takes a generator of `models.networks.build_networks`, its class names, and a filter if there is one."""
        super().__init__()
        self.classes = tuple(classes)
        self.filter = image_filter
        self.image_shape: tuple[int, int, int] = generator.output_shape[1:]
        self.latent_dim: int = generator.inputs[0].shape[1]
        self._generator = partial(generator, training=False)
        # TensorFlow's variables, not the networks with Keras's: loaded as a server does it, a SavedModel restores of
        # a variable of Keras's only a copy, which no signature uses.
        networks = [generator, image_filter.helper] if image_filter else [generator]
        self._variables = [variable.value for network in networks for variable in network.variables]
        labels = tf.range(len(self.classes), dtype=tf.int64)
        pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(self.classes), labels)
        self._label_of = tf.lookup.StaticHashTable(pairs, default_value=-1)

    def functions(self) -> dict[str, Any]:
        """The signatures by name, each a `tf.function` with an `input_signature`."""
        label, seed = (tf.TensorSpec([None], tf.int64, name=name) for name in ("label", "seed"))
        name = tf.TensorSpec([None], tf.string, name="name")
        truncation = tf.TensorSpec([None], tf.float32, name="truncation")
        z = tf.TensorSpec([None, self.latent_dim], tf.float32, name="z")
        signatures = {
            SERVING_DEFAULT: (self._serving_default, label, seed),
            "by_name": (self._by_name, name, seed),
            "truncated": (self._truncated, label, seed, truncation),
            "array": (self._array, label, seed),
            "latent": (self._latent, label, z),
        }
        if self.filter:
            signatures["filtered"] = (self._filtered, label, seed)
        return {name: tf.function(function, input_signature=inputs) for name, (function, *inputs) in signatures.items()}

    def _serving_default(self, label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """label int64 [n], seed int64 [n] (any value) -> `image_bytes` (PNG, string [n]), `status` (string [n])."""
        label, seed = _of_one_length(label=label, seed=seed)
        return self._answer(self._z(seed), label, _status(self._known(label)))

    def _by_name(self, name: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same by class name, string [n]."""
        name, seed = _of_one_length(name=name, seed=seed)
        label = self._label_of.lookup(name)
        shown = tf.strings.substr(  # what is no UTF-8 would make an answer that is no JSON
            tf.strings.unicode_transcode(name, "UTF-8", "UTF-8"), 0, _SHOWN_CHARACTERS, unit="UTF8_CHAR"
        )
        allowed = ", ".join(self.classes[:_SHOWN_NAMES]) + (", ..." if len(self.classes) > _SHOWN_NAMES else "")
        reason = tf.strings.join(["unknown name ", shown, f": allowed {allowed}"])
        return self._answer(self._z(seed), label, _status((label >= 0, reason)))

    def _truncated(self, label: tf.Tensor, seed: tf.Tensor, truncation: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `serving_default`, with z times a truncation, float32 [n] in (0, 2]."""
        label, seed, truncation = _of_one_length(label=label, seed=seed, truncation=truncation)
        said = tf.strings.as_string(truncation, shortest=True)
        reason = tf.strings.join(["truncation ", said, f": allowed above 0, up to {MAX_TRUNCATION:g}"])
        in_range = (truncation > 0) & (truncation <= MAX_TRUNCATION)
        status = _status(self._known(label), (in_range, reason))
        return self._answer(self._z(seed) * truncation[:, None], label, status)

    def _array(self, label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `serving_default`, with `image` float32 [n, H, W, C] in [0, 1] instead; zeros where there is none."""
        label, seed = _of_one_length(label=label, seed=seed)
        status = _status(self._known(label))
        images = self._images(self._z(seed), label, status)
        status = _where_finite(status, images)
        images = tf.clip_by_value((images + 1.0) / 2.0, 0.0, 1.0)
        return {"image": tf.where((status == OK)[:, None, None, None], images, 0.0), "status": status}

    def _latent(self, label: tf.Tensor, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """label int64 [n], z float32 [n, d] -> `image_bytes`, `status`."""
        label, z = _of_one_length(label=label, z=z)
        finite = tf.reduce_all(tf.math.is_finite(z), axis=1)
        return self._answer(z, label, _status(self._known(label), (finite, "z is not finite")))

    def _filtered(self, label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The first candidate of each row that passes; candidate 0 is the image of `serving_default`.

        All rows are drawn anew in each round, until none waits: with those alone that wait, the pixels of a row
        would depend on how many there are.

        Returns:
          `image_bytes`, `status`, `score` (float32 [n], the helper's probability of the label for the image that is
          returned; 0 where none is) and `tries` (int64 [n], how many candidates it took).
        """
        assert self.filter is not None
        helper, threshold = self.filter.helper, self.filter.threshold
        label, seed = _of_one_length(label=label, seed=seed)
        status = _status(self._known(label))
        safe = tf.where(status == OK, label, 0)

        def draw(turn: tf.Tensor, pixels: tf.Tensor, score: tf.Tensor, tries: tf.Tensor, waiting: tf.Tensor) -> tuple:
            candidate = to_uint8(self._images(self._z(seed, turn), label, status))
            probabilities = tf.nn.softmax(helper(to_float(candidate), training=False)[0])
            own = tf.gather(probabilities, safe, batch_dims=1)
            passes = waiting & (tf.argmax(probabilities, axis=1) == safe) & (own >= threshold)
            pixels = tf.where(passes[:, None, None, None], candidate, pixels)
            return turn + 1, pixels, tf.where(passes, own, score), tries + tf.cast(waiting, tf.int64), waiting & ~passes

        rows = tf.shape(label)[0]
        none = tf.zeros([rows, *self.image_shape], tf.uint8)
        start = (tf.constant(0, tf.int64), none, tf.zeros([rows]), tf.zeros([rows], tf.int64), status == OK)
        _, pixels, score, tries, waiting = tf.while_loop(
            lambda turn, pixels, score, tries, waiting: tf.reduce_any(waiting),
            draw,
            start,
            maximum_iterations=self.filter.candidates,
        )
        status = tf.where(waiting, f"none of {self.filter.candidates} images passed the filter", status)
        return {"image_bytes": _png(pixels, status), "status": status, "score": score, "tries": tries}

    def _answer(self, z: tf.Tensor, label: tf.Tensor, status: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image_bytes` and `status`, string [n] each."""
        images = self._images(z, label, status)
        status = _where_finite(status, images)
        return {"image_bytes": _png(to_uint8(images), status), "status": status}

    def _images(self, z: tf.Tensor, label: tf.Tensor, status: tf.Tensor) -> tf.Tensor:
        """float32 [n, H, W, C] in [-1, 1]; where the status is not `ok`, of anything."""
        ok = status == OK
        z, label = tf.where(ok[:, None], z, 0.0), tf.where(ok, label, 0)
        # Convolutions do not take a batch of none: it gets a row, which is cut off again.
        asked = tf.shape(label)[0]
        more = tf.maximum(1 - asked, 0)
        rows = [tf.pad(z, [[0, more], [0, 0]]), tf.pad(label, [[0, more]])]
        return tf.cast(self._generator(rows)[:asked], tf.float32)

    def _z(self, seeds: tf.Tensor, turn: tf.Tensor | int = 0) -> tf.Tensor:
        """z [n, d] of seeds [n]: of an image itself (0), or of a further candidate for it."""
        spec = tf.TensorSpec([self.latent_dim], tf.float32)

        def normal(seed: tf.Tensor) -> tf.Tensor:
            # The algorithm is named, for devices differ in their default.
            return tf.random.stateless_normal(spec.shape, tf.stack([seed, turn]), alg="philox")

        return tf.map_fn(normal, seeds, fn_output_signature=spec)

    def _known(self, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        last = len(self.classes) - 1
        reason = tf.strings.join(["unknown label ", tf.strings.as_string(label), f": allowed 0..{last}"])
        return (label >= 0) & (label <= last), reason


def _of_one_length(**columns: tf.Tensor) -> list[tf.Tensor]:
    """The columns, once it is seen that they have equally many rows."""
    (first, of_first), *others = columns.items()
    rows = tf.shape(of_first)[0]
    checks = [
        tf.debugging.assert_equal(rows, tf.shape(column)[0], f"{first} and {name} differ in length")
        for name, column in others
    ]
    with tf.control_dependencies(checks):
        return [tf.identity(column) for column in columns.values()]


def _status(*conditions: tuple[tf.Tensor, tf.Tensor | str]) -> tf.Tensor:
    """string [n]: `ok`, or the reason of the first condition, bool [n], that does not hold."""
    status = tf.fill(tf.shape(conditions[0][0]), OK)
    for holds, reason in reversed(conditions):
        status = tf.where(holds, status, reason)
    return status


def _where_finite(status: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """string [n]: the status, or that the image is not finite, as of a z that is so large that sums overflow."""
    finite = tf.reduce_all(tf.math.is_finite(images), axis=[1, 2, 3])
    return tf.where((status == OK) & ~finite, "the image is not finite", status)


def _png(pixels: tf.Tensor, status: tf.Tensor) -> tf.Tensor:
    """uint8 [n, H, W, C] -> PNG files, string [n]; empty where the status is not `ok`."""
    return tf.where(status == OK, tf.io.encode_png(pixels), "")
