"""Variety within a class."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from metrics import distances
from metrics.diversity import diversity_estimate, diversity_ratio, mean_pairwise_distance


def draw(n, seed, d=5):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("rows", [1024, 16])
def test_mean_over_pairs(rows, monkeypatch):
    monkeypatch.setattr(distances, "_MAX_ROWS", rows)
    assert mean_pairwise_distance(draw(70, 0) + 1e5) == pytest.approx(pdist(draw(70, 0)).mean(), rel=1e-9)


def test_ratio():
    assert diversity_ratio(draw(50, 0), 0.5 * draw(50, 0) + 3) == pytest.approx(0.5)
    assert diversity_ratio(draw(50, 0), np.tile(draw(1, 1), (20, 1))) == pytest.approx(0, abs=1e-7)
    assert diversity_ratio(np.ones((3, 5)), draw(4, 0)) is None
    assert diversity_estimate(np.ones((5, 5)), draw(6, 0)) is None


@pytest.mark.parametrize("n", [10, 30])
def test_interval_covers_the_truth(n):
    covered = 0
    for index in range(200):
        estimate = diversity_estimate(draw(n, 2 * index), 0.7 * draw(n, 2 * index + 1), resamples=200, seed=index)
        assert estimate.lo < estimate.value < estimate.hi
        covered += estimate.lo <= 0.7 <= estimate.hi
    assert covered / 200 >= 0.9


def test_one_image_repeated_has_an_interval_at_nothing():
    estimate = diversity_estimate(draw(20, 0), np.tile(draw(1, 1), (20, 1)))
    assert estimate.hi < 1e-6


@pytest.mark.filterwarnings("error")
def test_real_images_of_which_one_differs_leave_no_limits():
    """A third of the resamples of five are without it, and give no ratio."""
    real = np.ones((5, 5))
    real[0] = 2
    estimate = diversity_estimate(real, draw(20, 0))
    assert estimate.value == diversity_ratio(real, draw(20, 0)) and estimate.lo is estimate.hi is None
