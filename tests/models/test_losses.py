"""Adversarial losses, against values worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from models.losses import LOSSES, adversarial_loss

REAL, FAKE = np.float32([2.0, 0.5, -1.0]), np.float32([-3.0, 0.0, 1.0])
REAL_WEIGHTS, FAKE_WEIGHTS = np.float32([1.0, 2.0, 2.0]), np.float32([4.0, 1.0, 0.0])


def softplus(x):
    return np.log1p(np.exp(x))


def test_hinge():
    loss = adversarial_loss("hinge")
    real = (1 * 0 + 2 * 0.5 + 2 * 2.0) / 5  # max(0, 1 - D(x)) = 0, .5, 2
    fake = (4 * 0 + 1 * 1.0 + 0 * 2.0) / 5  # max(0, 1 + D(G)) = 0, 1, 2
    assert loss.discriminator(REAL, FAKE, REAL_WEIGHTS, FAKE_WEIGHTS).numpy() == pytest.approx(real + fake)
    assert loss.generator(FAKE, FAKE_WEIGHTS).numpy() == pytest.approx(-(4 * -3.0 + 1 * 0.0) / 5)


def test_non_saturating():
    loss = adversarial_loss("non_saturating")
    real = np.average(softplus(-REAL), weights=REAL_WEIGHTS)  # -log sigmoid(D(x)), without label smoothing
    fake = np.average(softplus(FAKE), weights=FAKE_WEIGHTS)  # -log(1 - sigmoid(D(G)))
    assert loss.discriminator(REAL, FAKE, REAL_WEIGHTS, FAKE_WEIGHTS).numpy() == pytest.approx(real + fake, rel=1e-5)
    expected = np.average(softplus(-FAKE), weights=FAKE_WEIGHTS)  # -log sigmoid(D(G))
    assert loss.generator(FAKE, FAKE_WEIGHTS).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_weight_two_is_the_example_twice(name):
    loss = adversarial_loss(name)
    twice, ones = [0, 1, 1, 2], tf.ones(4)
    weights = tf.constant([1.0, 2.0, 1.0])
    repeated = loss.discriminator(REAL[twice], FAKE[twice], ones, ones)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE, weights, weights), repeated, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(FAKE, weights), loss.generator(FAKE[twice], ones), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_real_and_generated_images_are_weighted_apart(name):
    loss = adversarial_loss(name)
    ones = tf.ones(3)
    plain = loss.discriminator(REAL, FAKE, ones, ones)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE, 9 * ones, ones), plain, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(FAKE, 9 * ones), loss.generator(FAKE, ones), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_nothing_but_zeros_give_zero_and_no_nan(name):
    loss = adversarial_loss(name)
    assert loss.discriminator(REAL, FAKE, tf.zeros(3), tf.zeros(3)).numpy() == 0
    assert loss.generator(FAKE, tf.zeros(3)).numpy() == 0


def test_an_unknown_name_is_refused_with_the_known():
    with pytest.raises(ValueError, match="unknown loss `wgan`; known: non_saturating, hinge"):
        adversarial_loss("wgan")
