"""How different generated images of one class are from each other, against real ones."""

import numpy as np

from metrics import checks, distances
from metrics.estimate import Estimate
from metrics.resampling import MIN_ROWS, percentile_interval, resample_counts


def mean_pairwise_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance between two different rows; unbiased at every n, memory flat in n.

    Args:
      features: [n, d], n >= 2.

    Returns:
      >= 0, in units of the features.

    Raises:
      ValueError: as `checks.features`.
    """
    x = checks.features(features)
    return float(_mean_over_pairs(x, np.ones((1, len(x))))[0])


def diversity_ratio(real: np.ndarray, fake: np.ndarray) -> float | None:
    """Mean pairwise distance of generated images over that of real ones (as Zhu et al. 2017 measure variety by LPIPS).

    Args:
      real: [n, d] images of one class, n >= 2; with several classes in it, it measures mostly their distance.
      fake: [m, d] of the same class, m >= 2.

    Returns:
      >= 0: 1 for equal variety, 0 where all fakes are one image. Both means are unbiased; their ratio is biased upwards
      by what the real mean varies, squared. None where all real images are equal.

    Raises:
      ValueError: as `checks.pair`.
    """
    real, fake = checks.pair(real, fake)
    if _constant(real):
        return None
    return mean_pairwise_distance(fake) / mean_pairwise_distance(real)


def diversity_estimate(
    real: np.ndarray, fake: np.ndarray, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Estimate | None:
    """`diversity_ratio` with an interval by the percentiles of bootstrap resamples without pairs of one original.

    Args:
      real: [n, d], n >= 5.
      fake: [m, d], m >= 5.
      confidence: of the two-sided interval.
      resamples: how many.
      seed: of the resamples.

    Returns:
      The ratio and its limits, which are None where so few real images differ that those of some resample do not; None
      where all are equal.

    Raises:
      ValueError: as `checks.pair`; `confidence` outside (0, 1); `resamples` below 1.
    """
    real, fake = checks.pair(real, fake, at_least=MIN_ROWS)
    value = diversity_ratio(real, fake)
    if value is None:
        return None
    random = np.random.default_rng(seed)
    of_fake = _mean_over_pairs(fake, resample_counts(len(fake), resamples, random))
    of_real = _mean_over_pairs(real, resample_counts(len(real), resamples, random))
    if not of_real.all():
        return Estimate(value)
    return Estimate(value, *percentile_interval(of_fake / of_real, min(len(real), len(fake)), confidence))


def _constant(x: np.ndarray) -> bool:
    return bool((x == x[0]).all())


def _mean_over_pairs(x: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """[R] mean distance over pairs of different rows of x [n, d] that are there `copies` [R, n] times each."""
    (own,) = distances.points(x)
    total = np.zeros(len(copies))
    for first, rows in enumerate(own.tiles):
        for columns in own.tiles[first:]:
            block = own.squared_distances(rows, own, columns)
            if columns is rows:
                # A row is at distance 0 from itself, not at the root of a rounding error.
                np.fill_diagonal(block, 0)
            sums = np.einsum("rj,rj->r", copies[:, rows] @ np.sqrt(block, out=block), copies[:, columns])
            total += sums if columns is rows else 2 * sums
    return total / (copies.sum(axis=1) ** 2 - (copies**2).sum(axis=1))
