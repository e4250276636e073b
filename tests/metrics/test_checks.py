"""Bad input is named before it becomes a NaN."""

import numpy as np
import pytest

from metrics import checks
from metrics.c2st import c2st
from metrics.diversity import diversity_estimate, diversity_ratio
from metrics.frechet import Statistics, frechet_distance, statistics_distance
from metrics.inception_score import inception_score
from metrics.kernel import kernel_distance, kernel_distance_interval, permutation_p_value, subset_kernel_distance
from metrics.memorization import authenticity, closest_record_ratio, data_copying
from metrics.prdc import prdc

METRICS = [frechet_distance, kernel_distance, prdc, c2st, diversity_ratio, permutation_p_value]


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


AWKWARD = {
    "constant columns": lambda x: np.where(np.arange(x.shape[1]) < 3, 3.7, x),
    "repeated columns": lambda x: np.repeat(x[:, :2], 10, axis=1),
    "all rows equal": lambda x: np.repeat(x[:1], len(x), axis=0),
    "two different rows": lambda x: x[np.arange(len(x)) % 2],
    "one column": lambda x: x[:, :1],
    "far from the origin": lambda x: x + 1e7,
    "few rows": lambda x: x,
}


def limits(estimate):
    """Of an estimate, if there is one."""
    return [] if estimate is None else [estimate.value, estimate.lo, estimate.hi]


# Each as plain numbers; None is what cannot be known.
FIGURES = {
    "fid": lambda real, fake: [frechet_distance(real, fake)],
    "fid of statistics": lambda real, fake: [statistics_distance(Statistics.of(real), Statistics.of(fake))],
    "kid": lambda real, fake: [kernel_distance(real, fake), *kernel_distance_interval(real, fake, resamples=50)],
    "kid of subsets": lambda real, fake: subset_kernel_distance(real, fake, subsets=3, size=len(real)),
    "p": lambda real, fake: [permutation_p_value(real, fake, 50)],
    "prdc": lambda real, fake: vars(prdc(real, fake)).values(),
    "c2st": lambda real, fake: limits(c2st(real, fake)),
    "diversity": lambda real, fake: limits(diversity_estimate(real, fake, resamples=50)),
    "memorization": lambda real, fake: [
        authenticity(real, fake),
        closest_record_ratio(real, fake, fake),
        data_copying(real, fake, fake, min_cell=2).p,
    ],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize("figure", FIGURES)
def test_awkward_features_give_finite_figures(figure, kind, dtype):
    """Six rows, fewer than columns; on one side, on the other, and on both."""
    real, fake = np.random.default_rng(0).normal(size=(2, 6, 20))
    awkward = AWKWARD[kind]
    sides = [(awkward(real), awkward(fake))]
    if awkward(real).shape == real.shape:
        sides += [(awkward(real), fake), (real, awkward(fake))]
    for one, two in sides:
        values = FIGURES[figure](one.astype(dtype), two.astype(dtype))
        assert all(value is None or np.isfinite(value) for value in values)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, diversity_ratio, permutation_p_value])
@pytest.mark.parametrize("d", [1, 20])
def test_two_rows_are_enough(metric, d):
    assert np.isfinite(metric(*np.random.default_rng(0).normal(size=(2, 2, d))))


@pytest.mark.parametrize("metric", [authenticity, lambda train, fake: closest_record_ratio(train, fake, fake)])
def test_memorization_counts_and_refuses_what_is_not_finite(metric):
    bad = good()
    bad[0, 0] = np.inf
    with pytest.raises(ValueError, match="`train` has 0 NaN and 1 infinite values"):
        metric(bad, good())


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
