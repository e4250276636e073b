"""Whether a classifier tells, and how sure that is."""

import numpy as np
import pytest
from scipy.special import ndtr

from metrics.c2st import c2st


def test_equal_distributions_cannot_be_told_apart():
    covered, values = 0, []
    for seed in range(60):
        real, fake = np.random.default_rng([seed, 1]).normal(size=(2, 40, 5))
        estimate = c2st(real, fake, seed=seed)
        covered += estimate.lo <= 0.5 <= estimate.hi
        values.append(estimate.value)
    assert covered >= 56
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


def test_a_shift_is_told_with_the_accuracy_of_bayes():
    real, fake = np.random.default_rng(0).normal(size=(2, 2000, 3))
    estimate = c2st(real, fake + np.array([1, 0, 0]))
    assert estimate.value == pytest.approx(ndtr(0.5), abs=0.025)
    assert estimate.lo < ndtr(0.5) < estimate.hi


def test_unequal_numbers_do_not_make_it_easy():
    random = np.random.default_rng(0)
    assert c2st(random.normal(size=(900, 3)), random.normal(size=(60, 3))).value == pytest.approx(0.5, abs=0.1)


def test_scale_and_constant_columns_do_not_matter():
    real, fake = np.random.default_rng(0).normal(size=(2, 100, 3))
    scaled = [np.column_stack([x * [1e6, 1e-6, 1], np.full(100, 7.0)]) for x in (real, fake + 0.5)]
    assert c2st(*scaled) == c2st(real, fake + 0.5)


def test_certain():
    real = np.random.default_rng(0).normal(size=(50, 3))
    estimate = c2st(real, real + 100)
    assert estimate.value == estimate.hi == 1 and estimate.lo < 0.99


def test_what_cannot_be_is_refused():
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match="4 rows; at least 5"):
        c2st(x, x)
    with pytest.raises(ValueError, match="`folds` is 1"):
        c2st(x, x, folds=1)
