"""Sides of a step, the step itself and its setting, for terms by themselves."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.batch import Batch, Context
from models.terms import Setting


def side(logits=None, images=None, weights=None, labels=None) -> Batch:
    """One side of a step; what is not given is all 0, but weights are 1."""
    images = np.zeros((len(logits), 1, 1, 1), np.float32) if images is None else np.float32(images)
    logits = np.zeros(len(images), np.float32) if logits is None else np.float32(logits)
    weights = np.ones(len(images), np.float32) if weights is None else np.float32(weights)
    labels = np.zeros(len(images), np.int64) if labels is None else np.int64(labels)
    images, labels = tf.constant(images), tf.constant(labels)
    return Batch(images, images, labels, tf.constant(weights), {"logit": tf.constant(logits)})


def context(logit=None, step=0, discriminator_step=0, seed=(0, 0)) -> Context:
    """A step whose discriminator is `logit`, (images, labels) -> [n]."""
    return Context(
        lambda images, labels: {"logit": logit(images, labels)},
        tf.constant(step, tf.int64),
        tf.constant(discriminator_step, tf.int64),
        tf.constant(seed, tf.int64),
    )


def linear(slopes: tf.Tensor | tf.Variable):
    """A discriminator of which each logit is <slopes, image>."""
    return lambda images, labels: tf.reduce_sum(slopes * images, axis=(1, 2, 3))


def bowl(images, labels):
    """A discriminator whose gradient at an image is that image."""
    return tf.reduce_sum(images**2, axis=(1, 2, 3)) / 2


def setting(classes=3, discriminator=None, helper=None) -> Setting:
    discriminator = discriminator or keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    return Setting(classes, discriminator, lambda: helper)


@pytest.fixture(scope="session")
def step() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(side=side, context=context, linear=linear, bowl=bowl, setting=setting)
