"""What the bootstrap draws, and how its percentiles are moved."""

import numpy as np
import pytest

from metrics.resampling import percentile_interval, resample_counts


def test_counts_are_those_of_draws_with_replacement():
    counts = resample_counts(40, 5000, np.random.default_rng(0))
    assert counts.shape == (5000, 40) and counts.dtype == np.float64
    assert (counts.sum(axis=1) == 40).all() and (counts >= 0).all()
    # Of a multinomial: mean 1, variance 1 - 1/n, covariance -1/n, each within five standard errors.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=5 / np.sqrt(5000))
    np.testing.assert_allclose(counts.var(axis=0).mean(), 1 - 1 / 40, atol=0.02)
    np.testing.assert_allclose(np.cov(counts[:, 0], counts[:, 39])[0, 1], -1 / 40, atol=0.07)


def test_no_resample_is_one_row_alone():
    """Of two rows every other draw would be, and has no pair of different rows."""
    assert (resample_counts(2, 1000, np.random.default_rng(0)) == 1).all()


def test_equal_seeds_draw_equally():
    one, two, other = (resample_counts(10, 20, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_percentiles_are_moved_outwards_for_few_rows():
    values = np.linspace(0, 100, 10_001)
    assert percentile_interval(values, 10, 0.95) == pytest.approx((0.9, 99.1), abs=0.05)
    assert percentile_interval(values, 100_000, 0.95) == pytest.approx((2.5, 97.5), abs=0.01)


def test_what_cannot_be_is_refused():
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="1 rows cannot be resampled"):
        resample_counts(1, 10, random)
    with pytest.raises(ValueError, match="`resamples` is 0"):
        resample_counts(5, 0, random)
    with pytest.raises(ValueError, match="`confidence` is 1"):
        percentile_interval(np.zeros(3), 5, 1)
