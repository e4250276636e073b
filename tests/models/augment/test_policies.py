"""Which images the policies augment, and how ADA finds its probability."""

import numpy as np
import pytest
import tensorflow as tf

from models.augment import build_augmentation
from models.augment.options import AugmentOptions

RARITY = np.array([0.1, 0.5, 1.0])
SHAPE = (8, 8, 1)
SEED = tf.constant([0, 3], tf.int64)
CONFIDENT, UNSURE = tf.constant([2.0, 1.0, 0.5, 3.0]), tf.constant([2.0, 1.0, -0.5, -3.0])


def build(policy, rarity=RARITY, **options):
    return build_augmentation(AugmentOptions(policy=policy, **options), SHAPE, rarity)


@pytest.fixture
def ada():
    return build("ada", ada={"kimg": 0.1, "target": 0.6, "max_probability": 0.5})  # four steps of 4 images: 0.16


def observe(ada, *steps, first=0):
    """Tells it the logits of steps and returns the probability after each."""
    probabilities = []
    for step, logits in enumerate(steps, first):
        ada.observe(logits, tf.constant(step, tf.int64))
        probabilities.append(float(ada.figures()["ada_p"]))
    return probabilities


def noise(count=300):
    return tf.constant(np.random.default_rng(0).uniform(-0.9, 0.9, (count, *SHAPE)), tf.float32)


def test_none_is_no_augmentation():
    assert build("none") is None


@pytest.mark.parametrize(("policy", "on_fakes"), [("classic", False), ("diffaugment", True), ("ada", True)])
def test_only_classic_leaves_generated_images_alone(policy, on_fakes):
    assert build(policy).on_fakes is on_fakes


def test_classic_stays_within_the_range_of_images():
    bright = build("classic", operations={"brightness": 1.0, "contrast": 1.0})(noise(), tf.zeros(300, tf.int64), SEED)
    assert np.min(bright) == -1 and np.max(bright) == 1


def test_diffaugment_does_not_clip_so_that_gradients_get_through():
    bright = build("diffaugment", operations={"brightness": 1.0})(noise(), tf.zeros(300, tf.int64), SEED)
    assert np.max(bright) > 1.5


@pytest.mark.parametrize("policy", ["classic", "diffaugment", "ada"])
@pytest.mark.parametrize(
    ("focus", "expected"), [(0.0, [1, 1, 1, 1]), (1.0, [0.1, 0.5, 1, 1]), (0.5, [0.55, 0.75, 1, 1])]
)
def test_rare_classes_are_augmented_more_often_and_unlabeled_images_as_the_rarest(policy, focus, expected):
    augmentation = build(policy, operations={"brightness": 0.1}, tail_focus=focus)
    probability = 1.0
    if policy == "ada":
        augmentation.variables[0].assign(0.8)
        probability = 0.8
    images, labels = tf.zeros((4000, *SHAPE)), np.repeat([0, 1, 2, -1], 1000)
    changed = np.any(augmentation(images, tf.constant(labels), SEED) != 0, axis=(1, 2, 3))
    parts = [changed[labels == label].mean() for label in (0, 1, 2, -1)]
    np.testing.assert_allclose(parts, probability * np.array(expected), atol=0.05)


@pytest.mark.parametrize("policy", ["classic", "diffaugment", "ada"])
def test_an_image_does_not_depend_on_the_others(policy):
    augmentation = build(policy, tail_focus=1.0)
    images, labels = noise(), tf.zeros(300, tf.int64)
    others, other_labels = tf.tensor_scatter_nd_update(noise() * 0.5, [[5]], images[5:6]), labels + 1
    other_labels = tf.tensor_scatter_nd_update(other_labels, [[5]], [0])
    np.testing.assert_array_equal(augmentation(images, labels, SEED)[5], augmentation(others, other_labels, SEED)[5])


def test_adas_probability_follows_a_sequence_worked_out_by_hand(ada):
    # Mean signs: 1 > .6, up; 0 < .6, down; three of four steps at 1 and one at 0, .75 > .6, up; then the limit.
    moves = observe(ada, *[CONFIDENT] * 4, *[UNSURE] * 4, *[CONFIDENT] * 3, UNSURE, *[CONFIDENT] * 12)
    np.testing.assert_allclose(
        moves, [0] * 3 + [0.16] * 4 + [0] * 4 + [0.16] * 4 + [0.32] * 4 + [0.48] * 4 + [0.5], atol=1e-6
    )


def test_adas_probability_does_not_fall_below_zero(ada):
    assert observe(ada, *[UNSURE] * 8) == [0] * 8


def test_ada_begins_without_augmentation_and_strengthens_with_the_probability(ada):
    images, labels = noise(), tf.zeros(300, tf.int64)
    np.testing.assert_array_equal(ada(images, labels, SEED), images)
    observe(ada, *[CONFIDENT] * 4)
    assert not np.array_equal(ada(images, labels, SEED), images)


def test_ada_goes_on_from_a_restored_state(ada):
    logits = [tf.constant(np.random.default_rng(step).normal(0.8, 1, 4), tf.float32) for step in range(40)]
    undisturbed = observe(ada, *logits)
    first, second = (build("ada", ada={"kimg": 0.1, "target": 0.6, "max_probability": 0.5}) for _ in range(2))
    before = observe(first, *logits[:18])  # in the middle between two looks
    for variable, saved in zip(second.variables, first.variables, strict=True):
        variable.assign(saved)
    assert before + observe(second, *logits[18:], first=18) == undisturbed
    assert len(set(undisturbed)) > 3
