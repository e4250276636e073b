"""The DCGAN family: shapes, and that the label gets through."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks import build_networks
from models.options import GANOptions

SMALL = GANOptions(width=4, latent={"dim": 3})


@pytest.mark.parametrize("shape", [(4, 4, 1), (7, 7, 1), (8, 8, 1), (28, 28, 1), (32, 32, 3), (16, 32, 3), (64, 64, 1)])
def test_shapes(shape):
    generator, discriminator = build_networks(SMALL, shape, classes=5)
    z, labels = tf.random.stateless_normal((3, 3), (0, 1)), tf.constant([0, 4, 2], tf.int64)
    images = generator([z, labels])
    assert images.shape == (3, *shape) and images.dtype == tf.float32
    assert np.abs(images).max() <= 1
    logits = discriminator([images, labels])
    assert logits.shape == (3,) and logits.dtype == tf.float32


def test_channels_double_with_each_halving_up_to_a_limit():
    generator, discriminator = build_networks(GANOptions(width=4), (256, 256, 1), classes=2)
    widths = [layer.filters for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert widths == [4, 8, 16, 32, 32, 32, 32]
    assert max(layer.output.shape[-1] for layer in generator.layers if len(layer.output.shape) == 4) == 32


def test_the_discriminator_sees_the_label_and_has_no_batch_norm():
    keras.utils.set_random_seed(0)
    _, discriminator = build_networks(SMALL, (8, 8, 1), classes=4)
    images = tf.repeat(tf.random.stateless_normal((1, 8, 8, 1), (0, 1)), 4, axis=0)
    assert len(np.unique(discriminator([images, tf.range(4, dtype=tf.int64)]).numpy())) == 4
    assert not [v.path for v in discriminator.variables if "moving" in v.path]


def test_each_class_has_gradients_of_its_own_in_both_networks():
    generator, discriminator = build_networks(SMALL, (8, 8, 1), classes=3)
    z, labels = tf.random.stateless_normal((4, 3), (0, 1)), tf.constant([0, 2, 0, 2], tf.int64)
    with tf.GradientTape() as tape:
        logits = discriminator([generator([z, labels], training=True), labels])
        loss = tf.reduce_sum(logits**2)
    tables = [v for v in (*generator.trainable_variables, *discriminator.trainable_variables) if "table" in v.path]
    assert len(tables) == 2 * 3 + 1
    for gradient in tape.gradient(loss, [table.value for table in tables]):
        assert np.any(gradient[0]) and np.any(gradient[2]) and not np.any(gradient[1])


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"30 pixels.*28 and 32"):
        build_networks(SMALL, (30, 30, 1), classes=2)


def test_an_unknown_family_is_refused_with_the_known():
    with pytest.raises(ValueError, match="unknown network `nope`; known: dcgan"):
        build_networks(SMALL.model_copy(update={"network": "nope"}), (8, 8, 1), classes=2)
