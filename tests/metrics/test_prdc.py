"""Precision, recall, density and coverage against the authors' package.

Reference numbers are of prdc 0.2 (`compute_prdc`) with scikit-learn 1.9.1 and numpy 2.4.6, for the float64 features
that `relu_features` makes with seeds 1 and 2.
"""

import tracemalloc

import numpy as np
import pytest

from metrics import distances
from metrics.prdc import Prdc, prdc


def relu_features(n, d, seed, shift=0.0):
    """Correlated features with zeros, from numpy's frozen legacy generator."""
    mix = np.random.RandomState(99).standard_normal((d, d)) / np.sqrt(d)
    return np.maximum(np.random.RandomState(seed).standard_normal((n, d)) @ mix + shift, 0)


REFERENCES = {
    (500, 400, 3): (0.5875, 0.828, 0.6033333333333333, 0.698),
    (500, 400, 5): (0.7025, 0.892, 0.628, 0.874),
    (60, 50, 3): (0.68, 0.7833333333333333, 0.8866666666666667, 0.85),
    (60, 50, 5): (0.76, 0.8333333333333334, 0.764, 0.8833333333333333),
}


@pytest.mark.parametrize("rows", [1024, 64, 7])
@pytest.mark.parametrize(("n", "m", "k"), REFERENCES)
def test_equals_the_authors_package_in_tiles_of_any_size(n, m, k, rows, monkeypatch):
    """To the last count; only the final division may round differently."""
    monkeypatch.setattr(distances, "_MAX_ROWS", rows)
    real, fake = relu_features(n, 64, 1), relu_features(m, 64, 2, 0.1)
    result = prdc(real, fake, k)
    values = (result.precision, result.recall, result.density, result.coverage)
    assert values == pytest.approx(REFERENCES[n, m, k], rel=1e-15)


@pytest.mark.parametrize("k", [1, 3])
def test_equals_the_definition(k):
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(30, 4)), random.normal(size=(25, 4)) * 0.7 + 0.3

    def far(x, y):
        return np.linalg.norm(x[:, None] - y[None], axis=2)

    radius_real = np.sort(far(real, real), axis=1)[:, k]
    radius_fake = np.sort(far(fake, fake), axis=1)[:, k]
    between = far(real, fake)
    assert prdc(real, fake, k) == Prdc(
        precision=np.mean([(between[:, j] < radius_real).any() for j in range(25)]),
        recall=np.mean([(between[i] < radius_fake).any() for i in range(30)]),
        density=np.sum(between < radius_real[:, None]) / (k * 25),
        coverage=np.mean([(between[i] < radius_real[i]).any() for i in range(30)]),
    )


def test_the_authors_example_at_a_smaller_size():
    """N(0, I), 1000-d, k = 5: at 10,000 images P .4772 R .4705 D 1.0555 C .9735."""
    real, fake = np.random.default_rng(0).normal(size=(2, 2000, 1000))
    result = prdc(real, fake)
    assert result.density == pytest.approx(1, abs=0.15)
    assert result.coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert abs(result.precision - result.recall) < 0.1


def test_a_dropped_mode_costs_recall_and_coverage_and_junk_costs_precision_and_density():
    random = np.random.default_rng(0)
    real = random.normal(size=(400, 3)) + np.repeat([[0, 0, 0], [20, 0, 0]], 200, axis=0)
    dropped = prdc(real, random.normal(size=(400, 3)))
    assert dropped.precision > 0.9 and dropped.recall < 0.55 and dropped.coverage < 0.55
    junk = prdc(real, np.concatenate([real[::2] + 0.01, random.normal(size=(200, 3)) - 50]))
    assert junk.precision == pytest.approx(0.5, abs=0.02) and junk.density < 0.7 and junk.recall > 0.9


def test_distances_far_from_the_origin_keep_their_digits():
    real, fake = np.random.default_rng(0).normal(size=(2, 50, 4))
    assert prdc(real + 1e7, fake + 1e7) == prdc(real, fake)


def test_memory_is_flat():
    """At 6,000 images one matrix of distances takes 288 MB."""
    real, fake = np.random.default_rng(0).normal(size=(2, 6000, 4)).astype(np.float32)
    tracemalloc.start()
    prdc(real, fake)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_what_cannot_be_is_refused():
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(ValueError, match="5 rows; at least 6"):
        prdc(x, x)
    with pytest.raises(ValueError, match="`nearest_k` is 0"):
        prdc(x, x, 0)
