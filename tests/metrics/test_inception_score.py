"""Inception Score against torch-fidelity and its extremes.

Reference numbers are of torch-fidelity 0.4.0 (`isc_features_to_metric`, without shuffling) on torch 2.13.0.
"""

import numpy as np
import pytest
from scipy.special import softmax

from metrics.inception_score import inception_score


@pytest.mark.parametrize(("splits", "reference"), [(1, 1.9509095074764118), (10, 1.8920286035215497)])
def test_equals_torch_fidelity(splits, reference):
    mix = np.random.RandomState(99).standard_normal((10, 10)) / np.sqrt(10)
    logits = 2 * np.maximum(np.random.RandomState(3).standard_normal((300, 10)) @ mix, 0)
    assert inception_score(softmax(logits, axis=1), splits) == pytest.approx(reference, rel=1e-12)


def test_sure_and_even_is_the_number_of_classes():
    assert inception_score(np.eye(7)[np.arange(70) % 7]) == pytest.approx(7, rel=1e-12)
    assert inception_score(np.eye(2)[[0, 0, 0, 1]]) == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)))


def test_all_alike_is_one():
    assert inception_score(np.eye(7)[np.zeros(20, int)]) == 1
    assert inception_score(np.full((20, 5), 0.2, np.float32)) == pytest.approx(1, abs=1e-6)


def test_splits_are_consecutive_and_of_nearly_equal_size():
    p = np.eye(2)[[0, 0, 0, 1, 1, 0, 1]]
    assert inception_score(p, splits=2) == pytest.approx(np.mean([inception_score(p[:3]), inception_score(p[3:])]))


@pytest.mark.parametrize("splits", [0, 8])
def test_splits_that_cannot_be(splits):
    with pytest.raises(ValueError, match="allowed: 1 to the number of images, 7"):
        inception_score(np.eye(2)[[0, 0, 0, 1, 1, 0, 1]], splits)
