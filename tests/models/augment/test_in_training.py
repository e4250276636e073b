"""Augmentation within the GAN's step, on one device and on two."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.augment import build_augmentation
from models.augment.options import AugmentOptions
from models.build import build_gan
from models.options import GANOptions

SMALL = GANOptions(width=4, latent={"dim": 8}, batch_size=32, steps=1)
BRIGHTNESS = AugmentOptions(policy="diffaugment", operations={"brightness": 0.5})

TWO_DEVICES = """
import numpy as np, tensorflow as tf
from models.augment import build_augmentation
from models.augment.options import AugmentOptions
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
options = AugmentOptions(policy="ada", tail_focus=1.0, ada={"kimg": 0.1, "target": 0.6})
images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)), tf.float32)
labels, seed = tf.constant([0, 1] * 4, tf.int64), tf.constant([3, 4], tf.int64)
# The mean sign is 1 on the first device and .5 on the second: .75, above the target, which the second alone is not.
logits = tf.constant([2.0, 1, 1, 3, 1, 1, 1, -1])

def run(strategy, devices):
    with strategy.scope():
        augmentation = build_augmentation(options, (8, 8, 1), np.array([0.5, 1.0]))
    def spread(column):
        if devices == 1:
            return column
        halves = tf.split(column, 2)
        return strategy.experimental_distribute_values_from_function(lambda c: halves[c.replica_id_in_sync_group])
    for step in range(4):
        strategy.run(augmentation.observe, (spread(logits), tf.constant(step, tf.int64)))
    augmented = strategy.run(augmentation, (spread(images), spread(labels), seed))
    return float(augmentation.figures()["ada_p"]), np.concatenate(strategy.experimental_local_results(augmented))

one, two = run(tf.distribute.get_strategy(), 1), run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), 2)
assert abs(one[0] - 0.32) < 1e-6 and one[0] == two[0], (one[0], two[0])
np.testing.assert_allclose(one[1], two[1], atol=1e-6)
assert np.any(one[1] != images)
"""


@pytest.fixture(scope="module")
def gan(digits):
    return build_gan(SMALL, digits.train, "0123456789", {}, seed=0)


def batch(examples, count=32):
    images = tf.cast(examples.images[:count], tf.float32) / 127.5 - 1.0
    return {"image": images, "label": tf.constant(examples.labels[:count]), "weight": tf.ones(count)}


def test_real_and_generated_images_get_the_same_kind_but_draws_of_their_own(gan, digits):
    gan.augmentation = build_augmentation(BRIGHTNESS, (8, 8, 1), np.ones(10))
    levels = []
    for side in (gan._real(batch(digits.train), 0), gan._fake(batch(digits.train), 0)):
        added = side.images.numpy() - side.raw.numpy()
        np.testing.assert_allclose(added.std((1, 2, 3)), 0, atol=1e-5)
        levels.append(added.mean((1, 2, 3)))
    assert all(0.2 < level.std() < 0.4 for level in levels)
    assert abs(np.corrcoef(levels)[0, 1]) < 0.5
    again = gan._real(batch(digits.train), 1)  # the next step of the discriminator
    assert not np.array_equal(again.images, gan._real(batch(digits.train), 0).images)


def test_the_generator_learns_through_what_was_done_to_its_images(gan, digits):
    gan.augmentation = build_augmentation(AugmentOptions(policy="diffaugment"), (8, 8, 1), np.ones(10))
    with tf.GradientTape() as tape:
        seen = tf.reduce_sum(gan._fake(batch(digits.train), 0).images ** 2)
    gradients = tape.gradient(seen, gan.generator.trainable_variables)
    assert all(gradient is not None and np.any(gradient != 0) for gradient in gradients)


def test_images_whose_label_is_hidden_are_augmented_alike_on_both_sides(gan, digits):
    options = AugmentOptions(policy="diffaugment", operations={"brightness": 0.5}, tail_focus=1.0)
    gan.augmentation = build_augmentation(options, (8, 8, 1), np.full(10, 1e-6))  # a labeled image is left alone
    hidden = batch(digits.train) | {"label": tf.constant([-1, 3] * 16, tf.int64)}
    for side in (gan._real(hidden, 0), gan._fake(hidden, 0)):
        changed = np.any(side.images != side.raw, axis=(1, 2, 3))
        np.testing.assert_array_equal(changed, [True, False] * 16)


@pytest.mark.parametrize("policy", ["classic", "diffaugment", "ada"])
def test_a_policy_trains(digits, policy):
    options = SMALL.model_copy(update={"augment": AugmentOptions(policy=policy)})
    gan = build_gan(options, digits.train, "0123456789", {}, seed=0)
    for _ in range(4):
        figures = gan.train_step(batch(digits.train))
    assert all(np.isfinite(float(figure)) for figure in figures.values())
    if policy == "ada":
        assert all(any(held is variable for held in gan.state()) for variable in gan.augmentation.variables)


@pytest.mark.e2e
def test_two_devices_augment_as_one_does():
    home = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], cwd=home, env={**os.environ, "PYTHONPATH": str(home)}, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
