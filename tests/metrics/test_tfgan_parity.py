"""FID, KID and Inception Score against TF-GAN on the same features, to its float32."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

import models.tfgan  # noqa: F401  (it makes tensorflow_gan importable)
from metrics.frechet import frechet_distance
from metrics.inception_score import inception_score
from metrics.kernel import kernel_distance

# isort: split
from tensorflow_gan.python.eval import classifier_metrics


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(0)
    mix = random.normal(size=(32, 32)) / np.sqrt(32)
    make = (np.maximum(random.normal(size=(300, 32)) @ mix + shift, 0).astype(np.float32) for shift in (0, 0.3))
    return tuple(make)


def test_frechet(features):
    reference = classifier_metrics.frechet_classifier_distance_from_activations(*map(tf.constant, features))
    assert frechet_distance(*features) == pytest.approx(float(reference), rel=1e-4)


def test_kernel(features):
    reference = classifier_metrics.kernel_classifier_distance_from_activations(
        *map(tf.constant, features), max_block_size=300
    )
    assert kernel_distance(*features) == pytest.approx(float(reference), rel=1e-4)


def test_inception_score(features):
    logits = features[0] * 2
    reference = classifier_metrics.classifier_score_from_logits(tf.constant(logits))
    assert inception_score(softmax(logits.astype(np.float64), axis=1)) == pytest.approx(float(reference), rel=1e-4)
