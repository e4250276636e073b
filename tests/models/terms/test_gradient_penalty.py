"""The gradient penalty, on discriminators whose gradients are known."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.terms import gradient_penalty

SLOPES = np.float32([1.0, -2.0, 0.0, 2.0]).reshape(2, 2, 1)  # of norm 3
ZEROS = np.zeros((500, 2, 2, 1), np.float32)


def penalty(step, weight=10.0, every=1):
    options = gradient_penalty.Options(weight=weight, every=every)
    return gradient_penalty.build(options, step.setting()).discriminator


def test_of_a_linear_discriminator_it_is_the_squared_distance_of_its_slope_from_1(step):
    real, fake = step.side(images=ZEROS[:3]), step.side(images=ZEROS[:3] + 1)
    for slopes, expected in ((SLOPES, 4.0), (SLOPES / 3, 0.0), (0 * SLOPES, 1.0)):
        value = penalty(step, weight=5.0)(real, fake, step.context(step.linear(slopes)))
        assert value.numpy() == pytest.approx(5 * expected, abs=1e-4)


def test_gradients_reach_the_weights_and_are_finite_where_the_slope_is_0(step):
    real = step.side(images=ZEROS[:3])
    for slopes in (SLOPES, 0 * SLOPES):
        variable = tf.Variable(slopes)
        with tf.GradientTape() as tape:
            value = penalty(step, weight=1.0)(real, real, step.context(step.linear(variable)))
        # d/da (|a| - 1)^2 = 2 (|a| - 1) a / |a|
        np.testing.assert_allclose(tape.gradient(value, variable), 2 * (3 - 1) / 3 * slopes, rtol=1e-5)


def test_images_lie_anywhere_between_real_and_generated_and_elsewhere_in_another_step(step):
    """The bowl's slope at an image is its norm: real images at 0 and generated at norm 2 give 2 u, u uniform."""
    real, fake = step.side(images=ZEROS), step.side(images=ZEROS + 1)
    term = penalty(step, weight=1.0)
    values = [term(real, fake, step.context(step.bowl, seed=seed)).numpy() for seed in ((0, 1), (0, 1), (0, 2))]
    assert values[0] == pytest.approx(1 / 3, abs=0.05)  # E (2 u - 1)^2
    assert values[0] == values[1] != values[2]


def test_it_is_weighted_and_asks_under_the_labels_of_the_real_images(step):
    real = step.side(images=ZEROS[:3], weights=[3, 0, 1], labels=[2, 5, -1])
    fake = step.side(images=ZEROS[:3], weights=[0, 9, 0], labels=[7, 7, 7])

    def slope_of_label(images, labels):
        slopes = tf.cast(labels, tf.float32)[:, None, None, None] * SLOPES / 3
        return tf.reduce_sum(slopes * images, axis=(1, 2, 3))

    value = penalty(step, weight=1.0)(real, fake, step.context(slope_of_label))
    assert value.numpy() == pytest.approx((3 * (2 - 1) ** 2 + 1 * (1 - 1) ** 2) / 4, abs=1e-5)


def test_lazy_it_is_due_in_every_kth_step_of_the_discriminator_and_k_times_as_large(step):
    real, term = step.side(images=ZEROS[:3]), penalty(step, weight=1.0, every=2)
    values = [
        term(real, real, step.context(step.linear(SLOPES), discriminator_step=index)).numpy() for index in range(4)
    ]
    assert values == pytest.approx([8, 0, 8, 0], abs=1e-4)


@pytest.mark.parametrize(("norm", "warns"), [("BatchNormalization", True), ("LayerNormalization", False)])
def test_batch_normalization_in_the_discriminator_is_warned_of(step, caplog, norm, warns):
    network = keras.Sequential([keras.Input((4,)), getattr(keras.layers, norm)(), keras.layers.Dense(1)])
    with caplog.at_level(logging.WARNING, "tailgan"):
        gradient_penalty.build(gradient_penalty.Options(), step.setting(discriminator=network))
    assert ("gan.terms.gradient_penalty: the discriminator has batch normalization" in caplog.text) == warns
