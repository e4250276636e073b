"""The three policies: which images are augmented, and how often."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.augment.operations import Operations
from models.augment.options import AdaOptions
from models.replicas import global_sum, state

_INTERVAL = 4  # discriminator steps from one look of ADA to the next


class DiffAugment:
    """The same kinds of operation on every image, real or generated (Zhao et al. 2020, section 3.2).

    The generator is not drawn towards augmented images, as both sides are augmented, and learns through them.
    """

    on_fakes = True

    def __init__(self, operations: Operations, shares: np.ndarray):
        """Takes the operations, and the part of each class's images that they are applied to, K numbers in [0, 1]."""
        self._operations = operations
        self._shares = np.append(shares, 1.0).astype(np.float32)  # the last is that of images without a label
        self.variables: Sequence[tf.Variable] = ()

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """As in `Augmentation`; color may leave [-1, 1], for clipping would stop the generator's gradient."""
        return self._operations(images, self._probabilities(labels), seed)

    def _probabilities(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels [n] -> [n] float32, of each operation on an image."""
        return tf.gather(self._shares, tf.where(labels < 0, tf.cast(len(self._shares) - 1, labels.dtype), labels))

    def observe(self, logits: tf.Tensor, step: tf.Tensor) -> None:
        """Nothing is learned from them."""

    def figures(self) -> dict[str, tf.Tensor]:
        """There is nothing to show."""
        return {}


class Classic(DiffAugment):
    """Real images only: more data, all of which the generator learns to imitate, its traces included."""

    on_fakes = False

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """As in `Augmentation`; within [-1, 1], which the generator cannot leave either."""
        return tf.clip_by_value(super().__call__(images, labels, seed), -1.0, 1.0)


class ADA(DiffAugment):
    """As `DiffAugment`, with a probability that follows how much the discriminator overfits (Karras et al. 2020).

    Overfitting is read from r_t = E[sign D(x)] over real images (section 3, eq. 1): every 4 steps the probability goes
    up where it is above the target, and else down. As images are left alone with a probability above 0, what is learned
    is the distribution of images that were not augmented (section 2.2).
    """

    def __init__(self, operations: Operations, shares: np.ndarray, options: AdaOptions):
        """Takes what `DiffAugment` takes, and the speed and limits of the probability."""
        super().__init__(operations, shares)
        self._options = options
        self._probability = state(0.0, tf.float32, "ada_probability")
        self._seen = state([0.0, 0.0], tf.float32, "ada_seen")  # sum of signs, and images, since the last look
        self.variables = [self._probability, self._seen]

    def _probabilities(self, labels: tf.Tensor) -> tf.Tensor:
        return self._probability * super()._probabilities(labels)

    def observe(self, logits: tf.Tensor, step: tf.Tensor) -> None:
        """Counts signs; every fourth step, changes the probability by the images counted over 1000 `kimg`."""
        signs = tf.sign(tf.cast(logits, tf.float32))
        seen = self._seen + global_sum(tf.stack([signs, tf.ones_like(signs)], 1), axis=(0,))
        total, count = tf.unstack(seen)
        moved = self._probability + tf.sign(total / count - self._options.target) * count / (1000 * self._options.kimg)
        looks = (step + 1) % _INTERVAL == 0
        limited = tf.clip_by_value(moved, 0.0, self._options.max_probability)
        self._probability.assign(tf.where(looks, limited, self._probability))
        self._seen.assign(tf.where(looks, tf.zeros_like(seen), seen))

    def figures(self) -> dict[str, tf.Tensor]:
        """`ada_p`: the probability as it is now."""
        return {"ada_p": tf.identity(self._probability)}
