"""R1, on discriminators whose gradients are known."""

import numpy as np
import pytest
import tensorflow as tf

from models.terms import r1

SLOPES = np.float32([1.0, -2.0, 0.0, 2.0]).reshape(2, 2, 1)  # of norm 3
IMAGES = np.float32([[0, 0, 0, 1], [1, 1, 1, 1], [3, 0, 4, 0]]).reshape(3, 2, 2, 1)  # of squared norms 1, 4, 25


def penalty(step, gamma=10.0, every=1):
    return r1.build(r1.Options(gamma=gamma, every=every), step.setting()).discriminator


def test_of_a_linear_discriminator_it_is_half_gamma_times_the_squared_slope(step):
    real, fake = step.side(images=IMAGES), step.side(images=0 * IMAGES)
    value = penalty(step, gamma=6.0)(real, fake, step.context(step.linear(SLOPES)))
    assert value.numpy() == pytest.approx(6 / 2 * 9)


def test_it_is_the_weighted_mean_over_real_images(step):
    real, fake = step.side(images=IMAGES, weights=[3, 0, 1]), step.side(images=100 + IMAGES)
    value = penalty(step, gamma=2.0)(real, fake, step.context(step.bowl))
    assert value.numpy() == pytest.approx((3 * 1 + 0 * 4 + 1 * 25) / 4)


@pytest.mark.parametrize("in_graph", [True, False])
def test_lazy_it_is_due_in_every_kth_step_of_the_discriminator_and_k_times_as_large(step, in_graph):
    term = penalty(step, gamma=2.0, every=3)
    real, slopes = step.side(images=IMAGES), tf.Variable(SLOPES)

    def value_and_gradient(index):
        with tf.GradientTape() as tape:
            context = step.context(step.linear(slopes))._replace(
                discriminator_step=index, step=tf.constant(0, tf.int64)
            )
            value = term(real, real, context)
        return value, tape.gradient(value, slopes, unconnected_gradients="zero")

    run = tf.function(value_and_gradient) if in_graph else value_and_gradient
    for index in range(7):
        value, gradient = run(tf.constant(index, tf.int64))
        factor = 3 if index in (0, 3, 6) else 0
        assert value.numpy() == pytest.approx(factor * 9), index
        np.testing.assert_allclose(gradient, factor * 2 * SLOPES)  # d/da |a|^2, through the gradient by the image


def test_a_spectrally_normalized_discriminator_learns_from_it_and_keeps_its_singular_vectors(step):
    from models.networks import build_networks
    from models.options import GANOptions

    _, network = build_networks(GANOptions(width=4), (8, 8, 1), 3, unlabelled=True)
    vectors = [variable.numpy() for variable in network.non_trainable_variables]
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1))
    real = step.side(images=images, labels=[0, 1, 2, -1])
    with tf.GradientTape() as tape:
        context = step.context(lambda x, y: network([x, y], training=False)["logit"])
        value = penalty(step)(real, real, context)
    kernels = [variable for variable in network.trainable_variables if variable.name in ("kernel", "table")]
    assert value.numpy() > 0 and len(kernels) > 3
    assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(value, [k.value for k in kernels]))
    for before, variable in zip(vectors, network.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
