"""The bootstrap, as far as metrics share it."""

import numpy as np
from scipy.special import ndtr, stdtrit

from metrics import checks

# With fewer rows a resample tells next to nothing about the population.
MIN_ROWS = 5


def resample_counts(n: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """How often each of n rows is drawn in n draws; never one row alone n times.

    Args:
      n: rows, at least 2.
      resamples: R, at least 1.
      random: where the draws come from.

    Returns:
      [R, n] float64, counts.

    Raises:
      ValueError: `n` below 2, for which there is no such draw; `resamples` below 1.
    """
    if resamples < 1:
        raise ValueError(f"`resamples` is {resamples}; at least 1 is needed")
    if n < 2:
        raise ValueError(f"{n} rows cannot be resampled; at least 2 are needed")
    counts = _counts(n, resamples, random)
    while (alone := counts.max(axis=1) == n).any():
        counts[alone] = _counts(n, int(alone.sum()), random)
    return counts


def _counts(n: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Counts of drawn indices, which takes an eighth of the time of multinomial numbers."""
    drawn = random.integers(n, size=(resamples, n))
    drawn += n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


def percentile_interval(values: np.ndarray, n: int, confidence: float) -> tuple[float, float]:
    """Expanded percentile interval (Hesterberg 2015, section 5.3) of a figure's resamples.

    Resamples of n rows spread less than samples do, by (n-1)/n in variance, and their spread is itself an estimate;
    the percentiles are moved outwards by what that does to a mean: at n = 10 to 0.9 and 99.1 for 95 %.

    Args:
      values: [R] the figure in the resamples.
      n: rows of the smallest sample that was resampled, at least 2.
      confidence: of the two-sided interval.

    Raises:
      ValueError: `confidence` outside (0, 1).
    """
    checks.fraction(confidence, "confidence")
    tail = float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - confidence) / 2)))
    low, high = np.quantile(values, [tail, 1 - tail]).tolist()
    return low, high
