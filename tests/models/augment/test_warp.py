"""Resampling and rotation, against numpy on known images."""

import numpy as np
import pytest
import tensorflow as tf

from models.augment.warp import resample, rotate


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (2, 5, 7, 3)).astype(np.float32)


def at(*lines):
    return tf.constant(lines, tf.float32)


def test_whole_coordinates_take_pixels_as_they_are(images):
    rows, columns = np.array([4, 0, 3, 2, 1]), np.array([6, 5, 0, 1, 2, 4, 3])
    moved = resample(images, at(rows, np.arange(5)), at(columns, np.arange(7)))
    np.testing.assert_array_equal(moved[0], images[0][rows][:, columns])
    np.testing.assert_array_equal(moved[1], images[1])


def test_between_pixels_values_are_interpolated(images):
    half = resample(images, at(*[np.arange(5)] * 2), at(*[np.minimum(np.arange(7) + 0.25, 6)] * 2)).numpy()
    np.testing.assert_allclose(half[:, :, :6], 0.75 * images[:, :, :-1] + 0.25 * images[:, :, 1:], atol=1e-6)


def test_beyond_the_edges_images_are_mirrored(images):
    padded = np.pad(images, ((0, 0), (5, 5), (7, 7), (0, 0)), "symmetric")
    for down, right in ((-5, 0), (2, -3), (0, 7), (5, 6)):
        moved = resample(images, at(*[np.arange(5) + down] * 2), at(*[np.arange(7) + right] * 2))
        np.testing.assert_array_equal(moved, padded[:, 5 + down : 10 + down, 7 + right : 14 + right])


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4])
def test_quarter_turns_are_those_of_numpy(quarters):
    square = np.random.default_rng(0).uniform(-1, 1, (2, 6, 6, 3)).astype(np.float32)
    turned = rotate(square, tf.constant([quarters * np.pi / 2, 0.0], tf.float32))
    np.testing.assert_allclose(turned[0], np.rot90(square[0], quarters), atol=1e-5)
    np.testing.assert_array_equal(turned[1], square[1])


def test_a_plane_is_rotated_exactly():
    """Interpolation is linear: where no edge is near, a plane's values are those of its rotated coordinates."""
    y, x = np.mgrid[:9, :9] - 4.0
    plane = np.float32(0.1 * x + 0.02 * y)[None, :, :, None]
    turned = rotate(plane, tf.constant([np.pi / 6], tf.float32)).numpy()[0, :, :, 0]
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    expected = 0.1 * (cos * x - sin * y) + 0.02 * (sin * x + cos * y)
    np.testing.assert_allclose(turned[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-6)
