"""How large a kernel distance must be to be seen with so many images: from real images alone."""

from math import sqrt

import numpy as np
from scipy.special import ndtri

from metrics import checks, distances

# The unbiased estimate of the kernel's variance divides by n - 3.
MIN_ROWS = 4


def null_deviation(real: np.ndarray, m: int) -> float:
    """Standard deviation of the unbiased KID between n real images and m others of the same distribution.

    Under equality the first-order term of the U-statistic vanishes, and what is left is (Gretton et al. 2012, appendix
    B.1) zeta (2 / n(n-1) + 2 / m(m-1) + 4 / nm) with zeta = E[k~(x, x')^2], k~ the kernel centred in both arguments.
    zeta is the HSIC of a set with itself, of which Song et al. 2012, eq. 5, give the estimate without bias.

    Args:
      real: [n, d], n >= 4.
      m: images on the other side, at least 2.

    Returns:
      >= 0, in units of KID; 0 where all images are equal.

    Raises:
      ValueError: as `checks.features`; `m` below 2.
    """
    x = checks.features(real, "real", at_least=MIN_ROWS)
    if m < 2:
        raise ValueError(f"`m` is {m}; at least 2 are needed")
    n = len(x)
    squares, sums = _sums(x)
    total = sums.sum()
    zeta = (squares + total**2 / ((n - 1) * (n - 2)) - 2 / (n - 2) * (sums @ sums)) / (n * (n - 3))
    return sqrt(max(zeta, 0.0) * (2 / (n * (n - 1)) + 2 / (m * (m - 1)) + 4 / (n * m)))


def smallest_seen(real: np.ndarray, m: int, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest KID that a one-sided test of that level finds with about that power: (z + z') null deviations.

    A difference adds to the spread of KID by an amount that depends on its direction and is not known beforehand; so
    a shift of this size along a leading direction is found less often: 0.6 to 0.8 for a `power` of 0.8.

    Args:
      real: [n, d], n >= 4.
      m: generated images, at least 2.
      level: of the test, how often it finds a difference where there is none.
      power: how often it finds one of the size that is returned.

    Raises:
      ValueError: as `null_deviation`; `level` or `power` outside (0, 1).
    """
    checks.fraction(level, "level")
    checks.fraction(power, "power")
    return float(ndtri(1 - level) + ndtri(power)) * null_deviation(real, m)


def _sums(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Of the kernel matrix without its diagonal: the sum of its squares, and the sums of its rows [n]."""
    squares, sums, d = 0.0, np.zeros(len(x)), x.shape[1]
    for rows in distances.tiles(*x.shape):
        for columns in distances.tiles(*x.shape):
            tile = x[rows].astype(np.float64) @ x[columns].astype(np.float64).T / d + 1
            tile = tile * tile * tile
            if rows == columns:
                np.fill_diagonal(tile, 0)
            squares += float(np.vdot(tile, tile))
            sums[rows] += tile.sum(axis=1)
    return squares, sums
