"""Adversarial losses, against values worked out by hand and against TF-GAN's own without weights."""

import typing

import numpy as np
import pytest
import tensorflow as tf

from models.batch import Batch
from models.losses import LOSSES, adversarial_loss
from models.options import GANOptions
from models.tfgan import losses as tfgan_losses

REAL, FAKE = np.float32([2.0, 0.5, -1.0]), np.float32([-3.0, 0.0, 1.0])
REAL_WEIGHTS, FAKE_WEIGHTS = np.float32([1.0, 2.0, 2.0]), np.float32([4.0, 1.0, 0.0])
REAL_LABELS, FAKE_LABELS = np.array([0, 2, 1]), np.array([1, 1, 0])
REAL_CLASSES = np.float32([[1, 0, 0], [0, 0, 2], [1, 0, 1]])
FAKE_CLASSES = np.float32([[0, 1, 0], [3, 0, 0], [0, 0, 0]])


def side(logits, weights=None, labels=None, class_logits=None) -> Batch:
    weights = np.ones(len(logits), np.float32) if weights is None else weights
    labels = np.zeros(len(logits), np.int64) if labels is None else labels
    class_logits = np.zeros((len(logits), 3), np.float32) if class_logits is None else class_logits
    images = tf.zeros([len(logits), 1, 1, 1])
    outputs = {"logit": tf.constant(logits), "class_logits": tf.constant(class_logits)}
    return Batch(images, images, tf.constant(labels), tf.constant(weights), outputs)


def both_sides(rows=(0, 1, 2), real_weights=None, fake_weights=None) -> tuple[Batch, Batch]:
    rows = list(rows)
    return (
        side(REAL[rows], real_weights, REAL_LABELS[rows], REAL_CLASSES[rows]),
        side(FAKE[rows], fake_weights, FAKE_LABELS[rows], FAKE_CLASSES[rows]),
    )


def values(name, real, fake) -> list[float]:
    loss = adversarial_loss(name)
    return [float(loss.discriminator(real, fake)), float(loss.generator(real, fake))]


def softplus(x):
    return np.log1p(np.exp(x))


def cross_entropy(class_logits, labels):
    return np.log(np.exp(class_logits).sum(1)) - class_logits[np.arange(len(labels)), labels]


def of_real(losses):
    return np.average(losses, weights=REAL_WEIGHTS)


def of_fake(losses):
    return np.average(losses, weights=FAKE_WEIGHTS)


def by_hand(name) -> list[float]:
    """Both sides of a loss of REAL and FAKE with their weights."""
    adversarial = of_real(softplus(-REAL)) + of_fake(softplus(FAKE))  # -log sigmoid(D(x)) - log(1 - sigmoid(D(G)))
    real_classes, fake_classes = cross_entropy(REAL_CLASSES, REAL_LABELS), cross_entropy(FAKE_CLASSES, FAKE_LABELS)
    mean_real, mean_fake = of_real(REAL), of_fake(FAKE)
    return {
        # TF-GAN's generator adds log sigmoid(1) to log(1 - sigmoid(D(G))).
        "minimax": [adversarial, -of_fake(softplus(FAKE)) - softplus(-1.0)],
        "non_saturating": [adversarial, of_fake(softplus(-FAKE))],
        "least_squares": [of_real((REAL - 1) ** 2) / 2 + of_fake(FAKE**2) / 2, of_fake((FAKE - 1) ** 2) / 2],
        "wasserstein": [mean_fake - mean_real, -mean_fake],
        "hinge": [
            (1 * 0 + 2 * 0.5 + 2 * 2.0) / 5 + (4 * 0 + 1 * 1.0 + 0 * 2.0) / 5,  # max(0, 1 - D(x)) + max(0, 1 + D(G))
            -(4 * -3.0 + 1 * 0.0) / 5,
        ],
        "relativistic": [
            of_real(softplus(mean_fake - REAL)) + of_fake(softplus(FAKE - mean_real)),
            of_real(softplus(REAL - mean_fake)) + of_fake(softplus(mean_real - FAKE)),
        ],
        "acgan": [
            adversarial + of_real(real_classes) + of_fake(fake_classes),
            of_fake(softplus(-FAKE)) + of_fake(fake_classes),
        ],
    }[name]


def test_the_configuration_offers_the_losses_there_are():
    assert set(typing.get_args(GANOptions.model_fields["loss"].annotation)) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_both_sides_are_what_the_paper_says(name):
    got = values(name, *both_sides(real_weights=REAL_WEIGHTS, fake_weights=FAKE_WEIGHTS))
    assert got == pytest.approx(by_hand(name), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_give_what_tfgan_gives_without(name):
    """TF-GAN's defaults, but for its smoothing of labels, which a GAN with this loss's name does not have."""
    plain = {"label_smoothing": 0.0}
    modified, one_hot = tfgan_losses.modified_discriminator_loss(REAL, FAKE, **plain), tf.one_hot(FAKE_LABELS, 3)
    expected = {
        "minimax": lambda: [
            tfgan_losses.minimax_discriminator_loss(REAL, FAKE, **plain), tfgan_losses.minimax_generator_loss(FAKE),
        ],
        "non_saturating": lambda: [modified, tfgan_losses.modified_generator_loss(FAKE)],
        "least_squares": lambda: [
            tfgan_losses.least_squares_discriminator_loss(REAL, FAKE),
            tfgan_losses.least_squares_generator_loss(FAKE),
        ],
        "wasserstein": lambda: [
            tfgan_losses.wasserstein_discriminator_loss(REAL, FAKE), tfgan_losses.wasserstein_generator_loss(FAKE),
        ],
        "hinge": lambda: [
            tfgan_losses.wasserstein_hinge_discriminator_loss(REAL, FAKE),
            tfgan_losses.wasserstein_hinge_generator_loss(FAKE),
        ],
        "relativistic": lambda: [
            tfgan_losses.relativistic_discriminator_loss(REAL, FAKE),
            tfgan_losses.relativistic_generator_loss(REAL, FAKE),
        ],
        "acgan": lambda: [
            modified + tfgan_losses.acgan_discriminator_loss(REAL_CLASSES, FAKE_CLASSES, one_hot),
            tfgan_losses.modified_generator_loss(FAKE) + tfgan_losses.acgan_generator_loss(FAKE_CLASSES, one_hot),
        ],
    }[name]()  # fmt: skip
    real, fake = both_sides()
    real = real._replace(labels=fake.labels)  # TF-GAN's acgan knows no other
    np.testing.assert_allclose(values(name, real, fake), expected, rtol=1e-6)
    weighted = [batch._replace(weights=7 * batch.weights) for batch in (real, fake)]
    np.testing.assert_allclose(values(name, *weighted), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("weights", "rows"),
    [([1, 2, 1], (0, 1, 1, 2)), ([1, 0, 1], (0, 2)), ([3, 1, 0], (0, 0, 0, 1))],
    ids=["two is twice", "zero is absent", "both"],
)
def test_a_weight_is_a_number_of_times(name, weights, rows):
    weights = np.float32(weights)
    expected = values(name, *both_sides(rows))
    np.testing.assert_allclose(
        values(name, *both_sides(real_weights=weights, fake_weights=weights)), expected, rtol=1e-6
    )


@pytest.mark.parametrize("name", LOSSES)
def test_real_and_generated_images_are_weighted_apart(name):
    ones = np.ones(3, np.float32)
    expected = values(name, *both_sides())
    np.testing.assert_allclose(values(name, *both_sides(real_weights=9 * ones)), expected, rtol=1e-6)
    np.testing.assert_allclose(values(name, *both_sides(fake_weights=9 * ones)), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_nothing_but_zeros_give_zero_and_no_nan(name):
    zeros = np.zeros(3, np.float32)
    assert values(name, *both_sides(real_weights=zeros, fake_weights=zeros)) == [0, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_push_the_logits_the_right_way(name):
    """Of both sides: D parts real from generated, G brings what it makes closer to real."""
    loss = adversarial_loss(name)
    real, fake = side(np.float32([0.2, 0.5, 0.7])), side(np.float32([0.6, 0.1, 0.4]))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real.outputs["logit"], fake.outputs["logit"]])
        of_discriminator, of_generator = loss.discriminator(real, fake), loss.generator(real, fake)
    assert tf.reduce_all(tape.gradient(of_discriminator, real.outputs["logit"]) < 0)
    assert tf.reduce_all(tape.gradient(of_discriminator, fake.outputs["logit"]) > 0)
    assert tf.reduce_all(tape.gradient(of_generator, fake.outputs["logit"]) < 0)


def test_the_relativistic_generator_learns_through_the_mean_of_what_it_makes_too():
    real, fake = both_sides()
    with tf.GradientTape() as tape:
        tape.watch(fake.outputs["logit"])
        loss = adversarial_loss("relativistic").generator(real, fake)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    own = -sigmoid(REAL.mean() - FAKE) / 3
    through_mean = -sigmoid(REAL - FAKE.mean()).mean() / 3
    np.testing.assert_allclose(tape.gradient(loss, fake.outputs["logit"]), own + through_mean, rtol=1e-5)
    assert [name for name in LOSSES if adversarial_loss(name).compares] == ["relativistic"]


def test_images_without_a_label_have_no_class_loss_and_do_not_thin_that_of_the_others():
    real, fake = both_sides(real_weights=REAL_WEIGHTS, fake_weights=FAKE_WEIGHTS)
    hidden = [batch._replace(labels=tf.constant([-1, *batch.labels.numpy()[1:]])) for batch in (real, fake)]
    adversarial = values("non_saturating", real, fake)
    real_classes = np.average(cross_entropy(REAL_CLASSES, REAL_LABELS)[1:], weights=REAL_WEIGHTS[1:])
    fake_classes = np.average(cross_entropy(FAKE_CLASSES, FAKE_LABELS)[1:], weights=FAKE_WEIGHTS[1:])
    expected = [adversarial[0] + real_classes + fake_classes, adversarial[1] + fake_classes]
    assert values("acgan", *hidden) == pytest.approx(expected, rel=1e-5)
    none = [batch._replace(labels=-tf.ones_like(batch.labels)) for batch in (real, fake)]
    assert values("acgan", *none) == pytest.approx(adversarial, rel=1e-5)


def test_nothing_is_left_in_tensorflows_collection_of_losses():
    with tf.Graph().as_default():
        for name in LOSSES:
            loss = adversarial_loss(name)
            loss.discriminator(*both_sides()), loss.generator(*both_sides())
        assert tf.compat.v1.losses.get_losses() == []


def test_an_unknown_name_is_refused_with_the_known():
    with pytest.raises(ValueError, match="unknown loss `wgan`; known: minimax, non_saturating, least_squares"):
        adversarial_loss("wgan")
