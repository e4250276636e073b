"""Bad input is named before it becomes a NaN."""

import numpy as np
import pytest

from metrics import checks
from metrics.c2st import c2st
from metrics.frechet import frechet_distance
from metrics.inception_score import inception_score
from metrics.kernel import kernel_distance
from metrics.prdc import prdc

METRICS = [frechet_distance, kernel_distance, prdc, c2st]


def good(n=8, d=3):
    return np.random.default_rng(n).normal(size=(n, d))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_counts_and_refuses_what_is_not_finite(metric):
    bad = good()
    bad[0, 0] = bad[3, 1] = np.nan
    bad[2, 2] = -np.inf
    with pytest.raises(ValueError, match="`fake` has 2 NaN and 1 infinite values"):
        metric(good(), bad)
    with pytest.raises(ValueError, match="`real` has 2 NaN and 1 infinite values"):
        metric(bad.astype(np.float32), good())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (good(d=4), "`real` has 3 columns and `fake` 4"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((8, 2, 3)), r"shape \(8, 2, 3\)"),
        (np.zeros((0, 3)), "`fake` has 0 rows"),
        (np.zeros((1, 3)), "`fake` has 1 rows"),
        (np.zeros((8, 0)), "no columns"),
        (np.array([["a"] * 3] * 8), "allowed: real numbers"),
        (np.full((8, 3), 1e60), "beyond 1e\\+48"),
    ],
)
def test_every_metric_refuses(metric, fake, message):
    with pytest.raises(ValueError, match=message):
        metric(good(), fake)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, bool, np.int64])
def test_any_real_dtype_gives_the_figures_of_float64(dtype):
    random = np.random.default_rng(0)
    real, fake = ((random.normal(size=(40, 3)) * 3 + 4).clip(0).astype(dtype) for _ in range(2))
    for metric in (frechet_distance, kernel_distance):
        assert metric(real, fake) == pytest.approx(metric(real.astype(float), fake.astype(float)), rel=1e-12)


def test_large_values_within_the_limit_stay_finite():
    x = good() * 1e47
    assert np.isfinite(frechet_distance(x, x + 1e47)) and np.isfinite(kernel_distance(x, -x))


def test_arrays_are_not_copied_without_need():
    x = good()
    assert checks.features(x) is x
    single = x.astype(np.float32)
    assert checks.features(single) is single


def test_probabilities():
    with pytest.raises(ValueError, match="1 rows of 2 that do not sum to 1"):
        inception_score(np.array([[0.5, 0.5], [3.0, 1.0]]))
    with pytest.raises(ValueError, match="1 negative"):
        inception_score(np.array([[0.5, 0.5], [1.5, -0.5]]))


def test_labels():
    with pytest.raises(ValueError, match=r"`wanted` has 2 values outside 0\.\.2"):
        checks.labels(np.array([-1, 0, 3]), 3, "wanted")
    with pytest.raises(ValueError, match="allowed: integers"):
        checks.labels(np.array([0.5]), 3)
    with pytest.raises(ValueError, match="one dimension"):
        checks.labels(np.zeros((2, 2), int), 3)
