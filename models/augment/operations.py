"""The operations on images, each applied to each image with a probability of its own."""

import math

import tensorflow as tf

from models.augment.options import OperationsOptions
from models.augment.warp import resample, rotate
from models.replicas import draw_rows

_NAMES = tuple(OperationsOptions.model_fields)


class Operations:
    """Geometry first, then color, then cutout; what is not chosen costs nothing."""

    def __init__(self, options: OperationsOptions):
        """Takes the operations and their strengths."""
        self._options = options

    def __call__(self, images: tf.Tensor, probabilities: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Augments each image by itself; differentiable with respect to the images.

        Args:
          images: [n, H, W, C] float.
          probabilities: [n] float32, of each operation on each image.
          seed: int64 [2]; equal seeds draw the same.

        Returns:
          Images of the same shape and dtype; operations on color may take them out of the range they had.
        """
        draws = _Draws(probabilities, seed)
        options, dtype = self._options, images.dtype
        images = tf.cast(images, tf.float32)
        if options.crop or options.shift or options.flip != "none":
            images = resample(images, *self._lines(draws, images.shape))
        if options.rotation:
            images = rotate(images, draws.signed("rotation") * math.radians(options.rotation))
        if options.brightness:
            images += _per_image(draws.signed("brightness") * options.brightness)
        if options.contrast:
            images = _spread(images, (1, 2, 3), draws.signed("contrast") * options.contrast)
        if options.saturation and images.shape[-1] > 1:
            images = _spread(images, (3,), draws.signed("saturation") * options.saturation)
        if options.cutout:
            images *= 1.0 - self._boxes(draws, images.shape)
        return tf.cast(images, dtype)

    def _lines(self, draws: "_Draws", shape: tf.TensorShape) -> tuple[tf.Tensor, tf.Tensor]:
        """Where the rows [n, H] and the columns [n, W] are taken from: shifted, of a crop, of a mirror image."""
        options = self._options
        zoom = 1.0 - draws.unsigned("crop") * options.crop
        mirrors = (options.flip in ("vertical", "both"), options.flip in ("horizontal", "both"))

        def lines(axis: int) -> tf.Tensor:
            side = shape[1 + axis]
            center = (side - 1) / 2
            at = tf.range(side, dtype=tf.float32)[None] - center
            at -= draws.integer("shift", _pixels(options.shift, side), axis)[:, None]
            # The crop's center is anywhere within what it cuts off.
            at = at * zoom[:, None] + (draws.signed("crop", 1 + axis) * (1.0 - zoom) * side / 2)[:, None]
            at *= 1.0 - 2.0 * draws.half("flip", axis)[:, None] * mirrors[axis]
            return at + center

        return lines(0), lines(1)

    def _boxes(self, draws: "_Draws", shape: tf.TensorShape) -> tf.Tensor:
        """[n, H, W, 1], 1 within a box whose center is any pixel (DiffAugment's code; it may reach over the edge)."""

        def inside(axis: int) -> tf.Tensor:
            side = shape[1 + axis]
            size = _pixels(self._options.cutout, side)
            begin = tf.floor(draws.value("cutout", axis) * (side + 1 - size % 2)) - size // 2
            at = tf.range(side, dtype=tf.float32)[None] - begin[:, None]
            return tf.cast((at >= 0) & (at < size), tf.float32)

        return _per_image(draws.on("cutout")) * inside(0)[:, :, None, None] * inside(1)[:, None, :, None]


class _Draws:
    """The random numbers of a batch: for each image and operation, whether it is applied, and how."""

    def __init__(self, probabilities: tf.Tensor, seed: tf.Tensor):
        self._uniform = draw_rows(
            lambda n: tf.random.stateless_uniform([n, len(_NAMES), 4], seed), tf.shape(probabilities)[0]
        )
        self._on = tf.cast(self._uniform[:, :, 0] < probabilities[:, None], tf.float32)

    def on(self, name: str) -> tf.Tensor:
        """[n], 1 where the operation is applied; below, what is not applied is 0."""
        return self._on[:, _NAMES.index(name)]

    def value(self, name: str, index: int = 0) -> tf.Tensor:
        """[n], uniform in [0, 1) whether it is applied or not; an operation has three of them, 0 to 2."""
        return self._uniform[:, _NAMES.index(name), 1 + index]

    def unsigned(self, name: str, index: int = 0) -> tf.Tensor:
        """[n], uniform in [0, 1)."""
        return self.on(name) * self.value(name, index)

    def signed(self, name: str, index: int = 0) -> tf.Tensor:
        """[n], uniform in [-1, 1)."""
        return self.on(name) * (2.0 * self.value(name, index) - 1.0)

    def half(self, name: str, index: int = 0) -> tf.Tensor:
        """[n], 0 or 1."""
        return self.on(name) * tf.floor(2.0 * self.value(name, index))

    def integer(self, name: str, largest: int, index: int = 0) -> tf.Tensor:
        """[n], one of -largest, ..., largest."""
        return self.on(name) * (tf.floor(self.value(name, index) * (2 * largest + 1)) - largest)


def _pixels(part: float, side: int) -> int:
    """A part of a side in whole pixels."""
    return int(part * side + 0.5)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    """[n] -> [n, 1, 1, 1]."""
    return values[:, None, None, None]


def _spread(images: tf.Tensor, axes: tuple[int, ...], more: tf.Tensor) -> tf.Tensor:
    """Distances from the mean over `axes`, times 1 + more [n]."""
    mean = tf.reduce_mean(images, axes, keepdims=True)
    return images + _per_image(more) * (images - mean)
