"""How often the judge sees the class that was asked for, class by class, and what that says given its own errors."""

from math import sqrt

import numpy as np
from scipy.special import ndtri

from metrics import checks
from metrics.estimate import Estimate


def label_agreement(wanted: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each wanted class: predicted as such, and in all.

    Args:
      wanted: [n] int, labels asked for (or true labels, for the judge's recall).
      predicted: [n] int, labels that the judge gave.
      classes: K.

    Returns:
      (agreeing [K] int64, total [K] int64), ready for `wilson_interval`.

    Raises:
      ValueError: as `checks.labels`; lengths differ.
    """
    wanted, predicted = checks.labels(wanted, classes, "wanted"), checks.labels(predicted, classes, "predicted")
    if len(wanted) != len(predicted):
        raise ValueError(f"`wanted` has {len(wanted)} labels and `predicted` {len(predicted)}; they must be equal")
    agreeing = np.bincount(wanted[wanted == predicted], minlength=classes)
    return agreeing, np.bincount(wanted, minlength=classes)


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), which stays within [0, 1] and has a width at 0 and n successes.

    Args:
      successes: 0..n.
      n: trials; with none nothing is known, (0, 1).
      confidence: of the two-sided interval, about; its true coverage swings around it at small n.

    Raises:
      ValueError: `successes` outside 0..n; `confidence` outside (0, 1).

    >>> [round(limit, 4) for limit in wilson_interval(81, 263)]
    [0.2553, 0.3662]
    """
    checks.fraction(confidence, "confidence")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; allowed: 0 to n")
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri((1 + confidence) / 2))
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    scale = 1 + z * z / n
    # At the ends the exact limits are 0 and 1, which rounding misses.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high


def agreement_ratio(
    agreeing: int, generated: int, recalled: int, real: int, confidence: float = 0.95
) -> Estimate | None:
    """Agreement on generated images over the judge's recall on real ones of the class, with an interval.

    A judge that knows three of four real shirts cannot be asked to know more than three of four generated ones.
    The interval is MOVER-R (Donner and Zou 2012, eq. 9) on Wilson limits: unlike the logarithmic (Katz) one it stands
    where all or none agree.

    Args:
      agreeing: generated images that the judge gave the wanted class, of `generated`.
      generated: generated images of the class.
      recalled: real images of the class that the judge knew, of `real`.
      real: real held-out images of the class.
      confidence: of the two-sided interval.

    Returns:
      The ratio, 1 where the judge knows generated images as well as real ones; None where there are no images or the
      judge knows no real one, for then it cannot tell.

    Raises:
      ValueError: as `wilson_interval`.
    """
    low_1, high_1 = wilson_interval(agreeing, generated, confidence)
    low_2, high_2 = wilson_interval(recalled, real, confidence)
    if generated == 0 or recalled == 0:
        return None
    p, q = agreeing / generated, recalled / real
    # Both limits are roots of d t^2 - 2 p q t + c = 0, written so that they hold for d <= 0 too.
    c, d = low_1 * (2 * p - low_1), high_2 * (2 * q - high_2)
    low = c / (p * q + sqrt(max((p * q) ** 2 - c * d, 0))) if c > 0 else 0.0
    c, d = high_1 * (2 * p - high_1), low_2 * (2 * q - low_2)
    high = (p * q + sqrt(max((p * q) ** 2 - c * d, 0))) / d
    return Estimate(p / q, low, high)
