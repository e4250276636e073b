"""Counts of classes, wanted and seen."""

import numpy as np
import pytest

from metrics.balance import class_balance


def test_equal_counts_are_at_no_divergence():
    result = class_balance([0, 1, 1, 2], [2, 1, 0, 1], classes=4)
    assert result.kl == 0 and result.dead == ()
    assert result.wanted == result.predicted == (1, 2, 1, 0)


def test_a_dead_class_is_named_and_the_divergence_finite():
    wanted = np.repeat([0, 1, 2], 100)
    result = class_balance(wanted, np.repeat([0, 1], 150), classes=4)
    assert result.dead == (2,) and result.predicted == (150, 150, 0, 0)
    assert 1 < result.kl < 3


def test_divergence_is_that_of_the_distributions():
    wanted, predicted = np.repeat([0, 1], [50000, 50000]), np.repeat([0, 1], [90000, 10000])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert class_balance(wanted, predicted, 2).kl == pytest.approx(expected, rel=1e-3)


def test_empty_sides_are_refused():
    with pytest.raises(ValueError, match="`predicted` has no labels"):
        class_balance([0], [], classes=2)
