"""Class balance, against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from models.terms import class_balance

# What the helper makes of the images of a step; it takes them for classes 0, 0, 1, 0.
LOGITS = np.float32([[4, 1, 0], [2, 0, 1], [0, 3, 1], [5, 0, 0]])
WEIGHTS = np.float32([1, 2, 1, 0])
OPTIONS = class_balance.Options(weight=2.0, decay=0.5)


def helper(images, training):
    """A classifier whose logits are the image; pixels beyond them are features."""
    assert training is False
    flat = tf.reshape(images, [-1, 4])
    return flat[:, :3], flat


def images_of(logits):
    return np.pad(logits, ((0, 0), (0, 1))).reshape(-1, 2, 2, 1)


def build(step):
    return class_balance.build(OPTIONS, step.setting(classes=3, helper=helper))


def run(term, step, logits=LOGITS, weights=WEIGHTS):
    fake = step.side(images=images_of(logits), weights=weights)
    return term.generator(fake, fake, step.context()).numpy()


def expected(seen, logits=LOGITS, weights=WEIGHTS):
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p = np.average(softmax, axis=0, weights=weights)
    inverse = 1 / np.maximum(seen, 0.01 / 3)
    return 2.0 * np.sum(inverse / inverse.mean() * p * np.log(p))


def test_classes_weigh_by_the_inverse_of_how_often_they_were_seen(step):
    term = build(step)
    seen = np.full(3, 1 / 3)
    for _ in range(3):
        assert run(term, step) == pytest.approx(expected(seen), rel=1e-5)
        seen = 0.5 * seen + 0.5 * np.array([3, 1, 0]) / 4  # weights 1 + 2 + 0 for class 0, 1 for class 1
        np.testing.assert_allclose(term.variables[0], seen, rtol=1e-6)


def test_a_class_that_is_never_seen_weighs_a_hundred_times_at_most(step):
    term = build(step)
    term.variables[0].assign([0.6, 0.4, 0.0])
    assert run(term, step) == pytest.approx(expected(np.array([0.6, 0.4, 0.0])), rel=1e-5)


def test_the_generator_learns_to_make_the_class_that_is_rarely_seen(step):
    term = build(step)
    term.variables[0].assign([0.5, 0.4, 0.1])
    fake = step.side(images=images_of(np.zeros((4, 3), np.float32)))
    with tf.GradientTape() as tape:
        tape.watch(fake.raw)
        # Discriminators see something else: augmented, with holes.
        value = term.generator(fake, fake._replace(images=tf.zeros_like(fake.images)), step.context())
    of_classes = tape.gradient(value, fake.raw).numpy().reshape(4, 4)[:, :3]
    # Downhill, the logit of class 2 rises and the others fall, in images that count.
    assert np.all(np.sign(of_classes) == [1, 1, -1])


def test_restored_variables_go_on_as_if_nothing_had_happened(step):
    one, other = build(step), build(step)
    run(one, step)
    other.variables[0].assign(one.variables[0])
    assert run(one, step) == run(other, step)
