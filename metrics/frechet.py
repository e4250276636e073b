"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, eq. 6): FID.

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2,    S with n - 1 in the denominator.

With roots R'R = S, the last trace is the sum of the singular values of R1 R2'. So no square root of a matrix product
is taken, the trace is real and never negative, and with n <= d the centred features themselves are the roots: the
product is then no larger than [n1, n2].

The distance of finite samples is biased upwards, the more the smaller n is against d: of equal distributions in 84
dimensions, n = 20 reads about 110, n = 1000 about 4. Compare at equal n only; below n = d prefer `metrics.kernel`.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from metrics import checks

# Directions with less than this part of the largest variance, times d, are rounding error.
_EPSILON = float(np.finfo(np.float64).eps)
# The part of the result that rounding in the fast sum of singular values may cost before the exact one is taken.
_TOLERANCE = 1e-8
# Up to this size exact singular values take less than a few milliseconds.
_SMALL = 128
# Rows that are widened to float64, centred and multiplied at a time.
_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that the distance takes of a set of features; of two disjoint sets, `a + b` has those of their union.

    The sums are kept around the mean (Chan, Golub and LeVeque 1979), where raw sums of products would lose digits.

    Attributes:
      n: number of rows.
      mean: [d] float64.
      scatter: [d, d] float64, sum over the rows of (x - mean)(x - mean)'.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Statistics":
        """Statistics of a set.

        Args:
          features: [n, d], n >= 1; float32 is widened a block at a time.

        Raises:
          ValueError: as `checks.features`.
        """
        x = checks.features(features, at_least=1)
        mean = x.mean(axis=0, dtype=np.float64)
        scatter = np.zeros((x.shape[1], x.shape[1]))
        for start in range(0, len(x), _BLOCK_ROWS):
            rows = x[start : start + _BLOCK_ROWS] - mean
            scatter += rows.T @ rows  # numpy hands a matrix times itself to dsyrk, at half the work.
        return cls(len(x), mean, scatter)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Statistics of the union. Raises ValueError if the dimensions differ."""
        _check_dimensions(self, other)
        n = self.n + other.n
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(step, step) * (self.n * other.n / n)
        return Statistics(n, self.mean + step * (other.n / n), scatter)

    @property
    def covariance(self) -> np.ndarray:
        """[d, d] float64, unbiased. Raises ValueError if n < 2."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 rows; there is {self.n}")
        return self.scatter / (self.n - 1)


def _check_dimensions(a: Statistics, b: Statistics) -> None:
    if len(a.mean) != len(b.mean):
        raise ValueError(f"statistics have {len(a.mean)} and {len(b.mean)} dimensions; they must be equal")


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """FID of two sets of features.

    Args:
      real: [n, d], n >= 2.
      fake: [m, d], m >= 2.

    Returns:
      >= 0, in squared units of the features; 0 for equal means and covariances. Biased upwards in n and m.

    Raises:
      ValueError: as `checks.pair`.
    """
    real, fake = checks.pair(real, fake)
    (real_mean, real_root), (fake_mean, fake_root) = _mean_and_root(real), _mean_and_root(fake)
    return _distance(real_mean - fake_mean, real_root, fake_root)


def statistics_distance(a: Statistics, b: Statistics) -> float:
    """FID from statistics, such as of features that come in batches.

    Args:
      a: of n >= 2 rows in d dimensions.
      b: of m >= 2 rows in as many dimensions.

    Returns:
      >= 0, as `frechet_distance`, and with its bias in n. With n <= d that one has more digits: here the covariance's
      rank has to be found from rounded numbers.

    Raises:
      ValueError: fewer than 2 rows; the dimensions differ.
    """
    _check_dimensions(a, b)
    return _distance(a.mean - b.mean, _covariance_root(a.covariance), _covariance_root(b.covariance))


def _mean_and_root(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and a root [r, d] of the covariance of features [n, d], r = min(n, d) or less."""
    n, d = x.shape
    if n <= d:
        mean = x.mean(axis=0, dtype=np.float64)
        return mean, (x - mean) / np.sqrt(n - 1)
    statistics = Statistics.of(x)
    return statistics.mean, _covariance_root(statistics.covariance)


def _covariance_root(covariance: np.ndarray) -> np.ndarray:
    """R [r, d] with R'R = covariance [d, d], r its numerical rank."""
    d = len(covariance)
    largest = float(covariance.diagonal().max())
    threshold = d * _EPSILON * largest
    factor, failed = scipy.linalg.lapack.dpotrf(covariance, lower=0, clean=1)
    if not failed and factor.diagonal().min() ** 2 > threshold:
        return factor
    values, vectors = scipy.linalg.eigh(covariance, check_finite=False)
    kept = values > threshold
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def _distance(step: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The distance from the difference of the means [d] and the roots a [r, d], b [s, d] of the covariances."""
    spread = float(np.vdot(a, a) + np.vdot(b, b))
    return max(0.0, float(step @ step) + spread - 2 * _singular_value_sum(a @ b.T, spread))


def _singular_value_sum(matrix: np.ndarray, scale: float) -> float:
    """Sum of the singular values of a matrix [r, s]; errors are small against `scale`."""
    if min(matrix.shape) > _SMALL:
        # Eigenvalues of the smaller Gram matrix take a third of the time, but the roots of small ones lose digits.
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        values = scipy.linalg.eigvalsh(gram, check_finite=False)
        noise = _EPSILON * max(values[-1], 0)
        roots = np.sqrt(np.maximum(values, noise))
        if noise > 0 and np.sum(noise / roots) <= _TOLERANCE * scale:
            return float(roots.sum())
    return float(scipy.linalg.svdvals(matrix, check_finite=False).sum()) if matrix.size else 0.0
