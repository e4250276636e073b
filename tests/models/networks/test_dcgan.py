"""The DCGAN family: what its measured figures rest on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks import build_networks
from models.options import GANOptions

SMALL = GANOptions(width=4, latent={"dim": 3})


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((4, 4, 1), (102_217, 99_690)),
        ((7, 7, 1), (76_009, 76_362)),
        ((8, 8, 1), (120_649, 118_122)),
        ((28, 28, 1), (397_129, 394_602)),
        ((32, 32, 3), (592_251, 585_882)),
    ],
)
def test_its_defaults_are_the_recipe_that_was_measured(shape, parameters):
    assert tuple(model.count_params() for model in build_networks(GANOptions(), shape, classes=10)) == parameters


def test_channels_double_with_each_halving_up_to_a_limit():
    generator, discriminator = build_networks(GANOptions(width=4), (256, 256, 1), classes=2)
    widths = [layer.filters for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert widths == [4, 8, 16, 32, 32, 32, 32]
    assert max(layer.output.shape[-1] for layer in generator.layers if len(layer.output.shape) == 4) == 32


def test_the_discriminator_sees_the_label_and_has_no_batch_norm():
    keras.utils.set_random_seed(0)
    _, discriminator = build_networks(SMALL, (8, 8, 1), classes=4)
    images = tf.repeat(tf.random.stateless_normal((1, 8, 8, 1), (0, 1)), 4, axis=0)
    assert len(np.unique(discriminator([images, tf.range(4, dtype=tf.int64)])["logit"].numpy())) == 4
    assert not [v.path for v in discriminator.variables if "moving" in v.path]


def test_each_class_has_gradients_of_its_own_in_both_networks():
    generator, discriminator = build_networks(SMALL, (8, 8, 1), classes=3)
    z, labels = tf.random.stateless_normal((4, 3), (0, 1)), tf.constant([0, 2, 0, 2], tf.int64)
    with tf.GradientTape() as tape:
        out = discriminator([generator([z, labels], training=True), labels])
        loss = tf.reduce_sum(out["logit"] ** 2)
    tables = [v for v in (*generator.trainable_variables, *discriminator.trainable_variables) if "table" in v.path]
    assert len(tables) == 2 * 3 + 1
    for gradient in tape.gradient(loss, [table.value for table in tables]):
        assert np.any(gradient[0]) and np.any(gradient[2]) and not np.any(gradient[1])
