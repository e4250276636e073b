"""Which images are looked at, and the ways between two z."""

import doctest
from types import SimpleNamespace

import numpy as np
import pytest

from models import samples
from models.samples import different_images, grid, in_parts, latents, rarest_first, spherical, write_showcase


def test_the_example_holds():
    assert doctest.testmod(samples).failed == 0


def test_classes_without_images_are_no_rare_ones():
    assert rarest_first([3, 0, 1, 2], 10) == [2, 3, 0]


def test_copies_are_taken_once(make):
    images = np.repeat(np.arange(6, dtype=np.uint8), [9, 1, 1, 5, 1, 1]).reshape(-1, 1, 1, 1)
    labels = np.where(images[:, 0, 0, 0] < 4, 0, 1)
    examples = make.examples_of(np.broadcast_to(images, (18, 2, 2, 1)).copy(), labels)
    assert sorted(different_images(examples, 0, 10, seed=0)[:, 0, 0, 0]) == [0, 1, 2, 3]
    assert len(different_images(examples, 0, 3, seed=0)) == 3
    assert different_images(examples, 2, 3, seed=0).shape == (0, 2, 2, 1)


def test_the_same_images_are_taken_each_time(digits):
    first, again = (different_images(digits.train, 3, 8, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, different_images(digits.train, 3, 8, seed=6))


def test_latent_vectors_begin_with_the_same():
    np.testing.assert_array_equal(latents(8, 4, 0)[:3], latents(3, 4, 0))


def test_parts_make_up_the_whole():
    rows = np.arange(2 * samples.AT_ONCE + 1)
    np.testing.assert_array_equal(np.concatenate([rows[part] for part in in_parts(len(rows))]), rows)


def test_a_grid_has_a_row_a_row():
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 4, 5, 1), np.uint8)
    pixels = grid(images)
    assert pixels.shape == (8, 15, 1)
    np.testing.assert_array_equal(pixels[::4, ::5, 0], [[0, 1, 2], [3, 4, 5]])


def test_the_way_between_two_vectors_stays_on_the_sphere():
    x, y = np.array([2.0, 0.0]), np.array([0.0, 2.0])
    np.testing.assert_allclose(spherical(x, y, 3), [[2, 0], [2**0.5, 2**0.5], [0, 2]], atol=1e-6)
    np.testing.assert_allclose(spherical(x, 2 * x, 3), [[2, 0], [3, 0], [4, 0]])  # one direction


@pytest.fixture
def painter():
    """A generator whose pixels are z[0], clipped."""
    import tensorflow as tf

    def paint(inputs, training):
        z, label = inputs
        return tf.reshape(tf.repeat(tf.cast(z[:, 0], tf.float32), 4), [-1, 2, 2, 1]) + 0 * float(label[0])

    painted = SimpleNamespace(inputs=[SimpleNamespace(shape=(None, 3))])
    return type("Painter", (), {"__call__": lambda self, i, training: paint(i, training), **vars(painted)})()


def test_the_showcase_scales_the_same_z(painter, tmp_path):
    write_showcase(painter, [5, 0, 2], tmp_path, seed=0)
    with np.load(tmp_path / "showcase.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 0]
        assert arrays["interpolation"].shape == (2, 9, 2, 2, 1)
        assert arrays["truncation"].shape == (2, 6, 3, 2, 2, 1)
        for p, psi in enumerate(arrays["psi"]):
            expected = np.round(np.clip((psi * latents(3, 3, 0)[:, 0] + 1) * 127.5, 0, 255))
            np.testing.assert_allclose(arrays["truncation"][0, p, :, 0, 0, 0], expected, atol=1)
