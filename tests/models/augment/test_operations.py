"""Each operation on known images, and what all of them have in common."""

import numpy as np
import pytest
import tensorflow as tf

from models.augment.operations import Operations
from models.augment.options import OperationsOptions

EACH = {
    "flip": "both",
    "crop": 0.4,
    "shift": 0.25,
    "rotation": 90.0,
    "brightness": 0.5,
    "contrast": 0.5,
    "saturation": 1.0,
    "cutout": 0.5,
}
N = 200
SEED = tf.constant([7, 0], tf.int64)


def apply(images, probability=1.0, seed=SEED, **operations):
    probabilities = tf.broadcast_to(tf.constant(probability, tf.float32), (len(images),))
    return Operations(OperationsOptions(**operations))(tf.constant(images), probabilities, seed).numpy()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(-0.4, 0.4, (8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def images(image):
    """The same image N times."""
    return np.tile(image, (N, 1, 1, 1))


def parts(results, candidates):
    """Part of the results that equals each candidate; all of them equal one."""
    equal = np.array([[np.array_equal(result, candidate) for candidate in candidates] for result in results])
    assert equal.any(1).all()
    return equal.mean(0)


def test_every_operation_is_tested_here():
    assert set(EACH) == set(OperationsOptions.model_fields)


def test_shift_moves_by_whole_pixels_up_to_the_part_of_the_side(image, images):
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "symmetric")
    moves = [padded[y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
    assert np.all(parts(apply(images, shift=0.25), moves) > 0)


@pytest.mark.parametrize(("flip", "down", "across"), [("horizontal", 1, 2), ("vertical", 2, 1), ("both", 2, 2)])
def test_flip_mirrors_half_of_the_images_along_the_axes_allowed(image, images, flip, down, across):
    mirrored = [image[:: 1 - 2 * y, :: 1 - 2 * x] for y in range(down) for x in range(across)]
    np.testing.assert_allclose(parts(apply(images, flip=flip), mirrored), 1 / len(mirrored), atol=0.1)


def test_a_crop_is_a_part_of_the_image_resized():
    """A plane shows where a crop was taken: its slope is the crop's size, its mean the crop's center."""
    plane = np.float32(np.arange(32))[None, None, :, None] * np.ones((N, 32, 1, 1), np.float32) / 32
    cropped = apply(plane, crop=0.4)[:, 0, :, 0] * 32
    size = (cropped[:, 20] - cropped[:, 12]) / 8
    assert size.min() == pytest.approx(0.6, abs=0.02) and size.max() == pytest.approx(1.0, abs=0.02)
    center, room = cropped[:, 15:17].mean(1) - 15.5, (1 - size) * 16
    assert np.all(np.abs(center) <= room + 1e-4)
    assert np.abs(center / room).max() > 0.95 and abs(np.mean(center / room)) < 0.15


def test_rotation_turns_either_way_up_to_the_angle():
    x = np.mgrid[:16, :16][1] - 7.5
    turned = apply(np.tile(np.float32(x / 8)[..., None], (N, 1, 1, 1)), rotation=30)[..., 0]
    angles = np.degrees(np.arctan2(turned[:, 7, 8] - turned[:, 8, 8], turned[:, 8, 8] - turned[:, 8, 7]))
    assert np.abs(angles).max() <= 30.01
    assert angles.min() < -27 and angles.max() > 27 and abs(angles.mean()) < 5


def test_brightness_adds_one_number_to_an_image(images):
    added = apply(images, brightness=0.3) - images
    np.testing.assert_allclose(added.std((1, 2, 3)), 0, atol=1e-6)
    level = added.mean((1, 2, 3))
    assert -0.3 <= level.min() < -0.27 and 0.27 < level.max() <= 0.3 and abs(level.mean()) < 0.05


def test_contrast_scales_what_differs_from_the_image_mean(image, images):
    changed = apply(images, contrast=0.5)
    np.testing.assert_allclose(changed.mean((1, 2, 3)), image.mean(), atol=1e-6)
    factors = changed.std((1, 2, 3)) / image.std()
    assert 0.499 < factors.min() < 0.55 and 1.45 < factors.max() < 1.501
    np.testing.assert_allclose(changed[0] - image.mean(), factors[0] * (image - image.mean()), atol=1e-6)


def test_saturation_scales_what_differs_from_the_pixels_grey(image, images):
    changed, grey = apply(images, saturation=1.0), image.mean(-1, keepdims=True)
    np.testing.assert_allclose(changed.mean(-1, keepdims=True), np.tile(grey, (N, 1, 1, 1)), atol=1e-6)
    factors = (changed - grey).std((1, 2, 3)) / (image - grey).std()
    assert factors.min() < 0.1 and 1.9 < factors.max() < 2.001
    grey_images = images[..., :1]
    np.testing.assert_array_equal(apply(grey_images, saturation=1.0), grey_images)


def test_cutout_blanks_one_box_and_nothing_else(images):
    blank = np.all(apply(images, cutout=0.5) == 0, -1)
    rows, columns = blank.any(2), blank.any(1)
    np.testing.assert_array_equal(blank, rows[:, :, None] & columns[:, None, :])
    sides = np.concatenate([rows.sum(1), columns.sum(1)])
    assert sides.max() == 4 and sides.min() == 2  # the center is within the image
    np.testing.assert_array_equal(apply(images, cutout=0.5)[~blank], images[~blank])


@pytest.mark.parametrize("name", EACH)
def test_with_probability_zero_an_image_is_left_alone_and_with_p_one_minus_p_too(images, name):
    np.testing.assert_array_equal(apply(images, 0.0, **{name: EACH[name]}), images)
    changed = np.any(apply(images, 0.4, **{name: EACH[name]}) != images, axis=(1, 2, 3)).mean()
    always = np.any(apply(images, 1.0, **{name: EACH[name]}) != images, axis=(1, 2, 3)).mean()
    assert changed == pytest.approx(0.4 * always, abs=0.09)


@pytest.mark.parametrize("name", EACH)
def test_each_image_is_augmented_by_itself(images, name):
    other = np.random.default_rng(1).uniform(-1, 1, images.shape).astype(np.float32)
    other[17] = images[17]
    mixed = np.where(np.arange(N) == 17, 1.0, 0.3)
    np.testing.assert_array_equal(
        apply(images, **{name: EACH[name]})[17], apply(other, mixed, **{name: EACH[name]})[17]
    )


def test_equal_seeds_augment_equally_and_others_do_not(images):
    np.testing.assert_array_equal(apply(images, **EACH), apply(images, **EACH))
    assert not np.array_equal(apply(images, **EACH), apply(images, seed=SEED + 1, **EACH))


def test_operations_are_drawn_apart(images):
    """Which images an operation is applied to tells nothing of another."""
    applied = [np.any(apply(images, 0.5, **{name: EACH[name]}) != images, axis=(1, 2, 3)) for name in EACH]
    correlations = np.corrcoef(applied) - np.eye(len(EACH))
    assert np.abs(correlations).max() < 0.25


@pytest.mark.parametrize("name", EACH)
def test_gradients_are_those_of_differences(name):
    images = tf.constant(np.random.default_rng(2).uniform(-1, 1, (3, 6, 8, 3)), tf.float32)
    weights = tf.constant(np.random.default_rng(3).normal(size=images.shape), tf.float32)
    direction = tf.constant(np.random.default_rng(4).normal(size=images.shape), tf.float32)
    operations = Operations(OperationsOptions(**{name: EACH[name]}))

    def output(x):
        return tf.reduce_sum(weights * operations(x, tf.ones(3), SEED))

    with tf.GradientTape() as tape:
        tape.watch(images)
        value = output(images)
    along = tf.reduce_sum(tape.gradient(value, images) * direction)
    # Each operation is linear in the image, so any step is small enough.
    np.testing.assert_allclose(along, (output(images + direction) - output(images - direction)) / 2, rtol=1e-3)


def test_graphs_and_xla_give_what_eager_gives(images):
    operations = Operations(OperationsOptions(**EACH))
    few = tf.constant(images[:4])
    with_graph = tf.function(operations)(few, tf.ones(4), SEED)
    np.testing.assert_allclose(with_graph, operations(few, tf.ones(4), SEED), atol=1e-5)
    compiled = tf.function(operations, jit_compile=True)(few, tf.ones(4), SEED)
    assert compiled.shape == few.shape and np.all(np.isfinite(compiled))


def test_bfloat16_comes_back_as_bfloat16(images):
    few = tf.cast(images[:4], tf.bfloat16)
    out = Operations(OperationsOptions(**EACH))(few, tf.ones(4), SEED)
    assert out.dtype == tf.bfloat16 and out.shape == few.shape
