"""Kernel distance (KID; Binkowski et al. 2018): squared maximum mean discrepancy with the kernel (x.y / d + 1)^3.

The estimate is unbiased at every n: of equal distributions it is 0 on average and so often slightly negative. That is
what makes it the distance for small classes, where FID reads mostly n.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from metrics import checks, distances
from metrics.resampling import MIN_ROWS, percentile_interval, resample_counts


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The unbiased KID on all of the data (Gretton et al. 2012, eq. 3).

    Args:
      real: [n, d], n >= 2.
      fake: [m, d], m >= 2.

    Returns:
      KID, 0 on average where the distributions are equal; can be negative. Its memory is flat in n and m.

    Raises:
      ValueError: as `checks.pair`.
    """
    return _unbiased(*checks.pair(real, fake))


def subset_kernel_distance(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """Mean and standard deviation of KID over random subsets, as torch-fidelity reports it, drawn in its way.

    Kept for comparison with published figures: the standard deviation is that of one subset, not of the mean, and
    the mean is noisier than `kernel_distance`.

    Args:
      real: [n, d]; torch-fidelity's input 1.
      fake: [m, d]; its input 2.
      subsets: how many are drawn.
      size: rows of a subset, at most n and m.
      seed: of numpy's legacy generator, for equal draws.

    Raises:
      ValueError: as `checks.pair`; `subsets` below 1; `size` below 2 or above n or m.
    """
    real, fake = checks.pair(real, fake)
    if subsets < 1:
        raise ValueError(f"`subsets` is {subsets}; at least 1 is needed")
    if not 2 <= size <= min(len(real), len(fake)):
        raise ValueError(f"`size` is {size}; allowed: 2 to the number of rows, {min(len(real), len(fake))}")
    random = np.random.RandomState(seed)
    values = [
        _unbiased(
            real[random.choice(len(real), size, replace=False)], fake[random.choice(len(fake), size, replace=False)]
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def bootstrap_kernel_distances(
    real: np.ndarray, fake: np.ndarray, resamples: int = 1000, seeds: tuple[int, int] = (0, 1)
) -> np.ndarray:
    """KID of bootstrap resamples, without the pairs that are copies of one original.

    A resample holds some rows several times. A row against its own copy is no pair of different images but has the
    largest kernel value of all; counting it moves every resample upwards (by 1.4 for 10 standard normal images in 84
    dimensions, where KID is 0), so that the interval never covers the truth. Pairs of one original are therefore left
    out of the sum and of its count.

    Args:
      real: [n, d], n >= 5.
      fake: [m, d], m >= 5.
      resamples: how many, R.
      seeds: of the resamples of `real` and of `fake`. Two generators compared on the same real images share the
        first and differ in the second.

    Returns:
      [R] float64.

    Raises:
      ValueError: as `checks.pair`; `resamples` below 1.
    """
    real, fake = checks.pair(real, fake, at_least=MIN_ROWS)
    real_copies = resample_counts(len(real), resamples, np.random.default_rng(seeds[0]))
    fake_copies = resample_counts(len(fake), resamples, np.random.default_rng(seeds[1]))
    crossed = cross_draws(real, fake, real_copies, fake_copies)
    return within_draws(real, real_copies) + within_draws(fake, fake_copies) - 2 * crossed


def within_draws(x: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Mean kernel over the pairs of different originals in resamples of one set; see `bootstrap_kernel_distances`.

    Args:
      x: [n, d], n >= 2.
      copies: [R, n] how often resample r holds row i, >= 0; at least two different rows each.

    Returns:
      [R] float64. With one copy of each row it is the unbiased mean kernel of two images of this kind.

    Raises:
      ValueError: as `checks.features`; `copies` are no counts of the rows, or one row is all that a resample holds.
    """
    x = checks.features(x, "x")
    copies = _counts(copies, len(x), "copies")
    squares = copies**2
    pairs = copies.sum(axis=1) ** 2 - squares.sum(axis=1)
    if alone := int((pairs == 0).sum()):
        raise ValueError(f"`copies` has {alone} resamples of one row alone; at least two different rows are needed")
    return (_bilinear(x, x, copies, copies) - squares @ _self_kernel(x)) / pairs


def cross_draws(x: np.ndarray, y: np.ndarray, x_copies: np.ndarray, y_copies: np.ndarray) -> np.ndarray:
    """Mean kernel between resamples of one set and resamples of another.

    Args:
      x: [n, d], n >= 1.
      y: [m, d], m >= 1.
      x_copies: [R, n] how often resample r holds row i of `x`, >= 0; at least one row each.
      y_copies: [R, m] the same of `y`.

    Returns:
      [R] float64.

    Raises:
      ValueError: as `checks.pair`; the copies are no counts of the rows, or for unequally many resamples.
    """
    x, y = checks.pair(x, y, ("x", "y"), at_least=1)
    x_copies, y_copies = _counts(x_copies, len(x), "x_copies"), _counts(y_copies, len(y), "y_copies")
    if len(x_copies) != len(y_copies):
        raise ValueError(f"`x_copies` has {len(x_copies)} resamples and `y_copies` {len(y_copies)}; they must be equal")
    return _bilinear(x, y, x_copies, y_copies) / (x_copies.sum(axis=1) * y_copies.sum(axis=1))


def kernel_distance_interval(
    real: np.ndarray, fake: np.ndarray, confidence: float = 0.95, resamples: int = 1000, seeds: tuple[int, int] = (0, 1)
) -> tuple[float, float]:
    """Interval of KID from `bootstrap_kernel_distances`, by percentiles that are expanded for small n.

    For Gaussians in 84 dimensions and n = 10, 20 and 50, 95 % covers the truth in 99 to 100 of 100 cases where they are
    equal, and in 92 to 99 under a shift. Whether there is any difference at all is better asked of
    `permutation_p_value`.

    Raises:
      ValueError: as `bootstrap_kernel_distances`; `confidence` outside (0, 1).
    """
    values = bootstrap_kernel_distances(real, fake, resamples, seeds)
    return percentile_interval(values, min(len(real), len(fake)), confidence)


def permutation_p_value(real: np.ndarray, fake: np.ndarray, permutations: int = 1000, seed: int = 0) -> float:
    """How often a random division of all rows in two has at least the KID of this one; exact at every n.

    Args:
      real: [n, d], n >= 2.
      fake: [m, d], m >= 2.
      permutations: random divisions.
      seed: of the divisions.

    Returns:
      (1 + divisions at least as far apart) / (1 + permutations), in (0, 1] (Phipson and Smyth 2010).

    Raises:
      ValueError: as `checks.pair`; `permutations` below 1.
    """
    real, fake = checks.pair(real, fake)
    if permutations < 1:
        raise ValueError(f"`permutations` is {permutations}; at least 1 is needed")
    n, m = len(real), len(fake)
    pooled = np.concatenate([real, fake])
    random = np.random.default_rng(seed)
    chosen = np.zeros((permutations + 1, n + m))
    chosen[0, :n] = 1
    for row in chosen[1:]:
        row[random.permutation(n + m)[:n]] = 1
    diagonal = _self_kernel(pooled)
    # With s the chosen rows and q = K 1: within s, s'Ks; across, s'q - s'Ks; within the rest, 1'q - 2 s'q + s'Ks.
    sums = _bilinear(pooled, pooled, np.ones((1, n + m)), None)[0]
    within, touching = _bilinear(pooled, pooled, chosen, chosen), chosen @ sums
    rest = sums.sum() - 2 * touching + within
    own = chosen @ diagonal
    values = (within - own) / (n * (n - 1)) + (rest - (diagonal.sum() - own)) / (m * (m - 1))
    values -= 2 * (touching - within) / (n * m)
    # Divisions that are equal to the given one, up to rounding, count as equal.
    slack = 1e-12 * (np.abs(values[0]) + diagonal.mean())
    return float((values >= values[0] - slack).sum() / (permutations + 1))


def _unbiased(real: np.ndarray, fake: np.ndarray) -> float:
    n, m = len(real), len(fake)
    crossed = sum(_cube_sum(_linear(real, rows, fake, columns)) for rows, columns in _tile_pairs(real, fake))
    return _pair_sum(real) / (n * (n - 1)) + _pair_sum(fake) / (m * (m - 1)) - 2 * crossed / (n * m)


def _tile_pairs(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover the kernel matrix of x [n, d] and y [m, d]."""
    return product(distances.tiles(*x.shape), distances.tiles(*y.shape))


def _linear(x: np.ndarray, rows: slice, y: np.ndarray, columns: slice) -> np.ndarray:
    """A tile of x.y / d + 1, float64: the cube root of the kernel."""
    scale = np.float64(x.shape[1]) ** -0.5
    a = np.multiply(x[rows], scale, dtype=np.float64)
    # numpy hands a matrix times itself to dsyrk, at half the work.
    same = x is y and rows == columns
    result = a @ (a if same else np.multiply(y[columns], scale, dtype=np.float64)).T
    result += 1
    return result


def _cube_sum(tile: np.ndarray) -> float:
    return float(np.vdot(tile * tile, tile))


def _self_kernel(x: np.ndarray) -> np.ndarray:
    """[n] kernel of each row of x [n, d] with itself."""
    return (np.einsum("ij,ij->i", x, x, dtype=np.float64) / x.shape[1] + 1) ** 3


def _pair_sum(x: np.ndarray) -> float:
    """Sum of the kernel over ordered pairs of different rows; half of the matrix is computed."""
    total = 0.0
    for rows, columns in _tile_pairs(x, x):
        if rows.start > columns.start:
            continue
        tile = _linear(x, rows, x, columns)
        if rows == columns:
            np.fill_diagonal(tile, 0)
            total += _cube_sum(tile)
        else:
            total += 2 * _cube_sum(tile)
    return total


def _bilinear(x: np.ndarray, y: np.ndarray, left: np.ndarray, right: np.ndarray | None) -> np.ndarray:
    """left K right' row by row, with K the kernel of x [n, d] and y [m, d].

    Args:
      x: [n, d].
      y: [m, d].
      left: [R, n].
      right: [R, m], or None.

    Returns:
      [R] sum_ij left[r, i] K[i, j] right[r, j]; without `right`, left K, [R, m].
    """
    weighted = np.zeros((len(left), len(y)))
    for rows, columns in _tile_pairs(x, y):
        tile = _linear(x, rows, y, columns)
        weighted[:, columns] += left[:, rows] @ (tile * tile * tile)
    return weighted if right is None else np.einsum("rj,rj->r", weighted, right)


def _counts(copies: np.ndarray, n: int, name: str) -> np.ndarray:
    """Counts [R, n] of n rows in resamples, as float64; raises ValueError for negative ones and for empty resamples."""
    values = np.asarray(copies, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != n:
        raise ValueError(f"`{name}` has shape {values.shape}; allowed: [R, {n}], a column for each row")
    if not (values >= 0).all() or not (values.sum(axis=1) > 0).all():
        raise ValueError(f"`{name}` has counts below 0, or resamples without rows")
    return values
