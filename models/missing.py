"""Filling in missing pixels from those around them."""

import tensorflow as tf

# Relaxations on each level of the pyramid; what a coarser level has found needs but a little of it.
_SWEEPS = 16


def fill(images: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Images whose missing pixels continue those around them smoothly; all others stay as they are.

    In a hole the Laplace equation is solved, so that each pixel becomes the mean of its four neighbors and a ramp goes
    on as a ramp; at the border of an image its slope is 0. From coarse to fine: the image is halved until it is one
    pixel, whose value is the mean of all that are there, and each level starts from the one below. An image of which
    no pixel is there becomes mid-grey.

    Args:
      images: [n, H, W, C] uint8; missing pixels have any value.
      masks: [n, H, W, 1] of any type, 0 where a pixel is missing, and 1 elsewhere.

    Returns:
      [n, H, W, C] uint8.
    """
    present = tf.cast(masks, tf.float32)
    filled = _solve(tf.cast(images, tf.float32) * present, present)
    rounded = tf.cast(tf.round(tf.clip_by_value(filled, 0.0, 255.0)), images.dtype)
    return tf.where(masks > 0, images, rounded)


def _solve(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Values float32 [n, h, w, C], 0 where `present` [n, h, w, 1] is, with these filled in."""
    height, width = values.shape[1:3]
    if height == width == 1:
        return tf.where(present > 0, values, 127.5)
    # Means of the pixels that are there, of two by two; beyond an odd border there is none.
    share = tf.nn.avg_pool2d(present, 2, 2, "SAME")
    means = tf.math.divide_no_nan(tf.nn.avg_pool2d(values, 2, 2, "SAME"), share)
    coarse = _solve(means, tf.cast(share > 0, tf.float32))
    start = tf.image.resize(coarse, (2 * coarse.shape[1], 2 * coarse.shape[2]), "bilinear")[:, :height, :width]
    filled = tf.where(present > 0, values, start)
    for _ in range(_SWEEPS):
        filled = tf.where(present > 0, values, _mean_of_neighbors(filled))
    return filled


def _mean_of_neighbors(values: tf.Tensor) -> tf.Tensor:
    """Mean of the four neighbors; the image goes on beyond its border as its last row or column."""
    padded = tf.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    vertical = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    return (vertical + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]) / 4.0
