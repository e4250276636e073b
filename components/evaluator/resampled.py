"""Bootstrap resamples of the images of one class, and the kernel distances between such sets.

A set keeps its resamples, so that all figures it enters (KID, the distance to the nearest class, comparisons with other
generators) are resampled together: then what they share cancels in differences and ratios.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.estimate import Estimate
from metrics.kernel import cross_draws, within_draws
from metrics.resampling import MIN_ROWS, percentile_interval, resample_counts

CONFIDENCE = 0.95
# Images a class that `Resampled.rough_distance` looks at, the first ones: it is asked for every pair of classes.
ROUGH = 200
# Stands for "without bound" among resampled ratios, and is far above any that is finite.
_UNBOUNDED = 1e200


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure of all images, and of bootstrap resamples of them.

    Attributes:
      value: of all images.
      draws: [R], or None where there are too few images to resample.
      rows: images in the smallest of the sets behind it.
    """

    value: float
    draws: np.ndarray | None
    rows: int

    def estimate(self) -> Estimate:
        """With the expanded percentile interval."""
        if self.draws is None:
            return Estimate(self.value)
        return Estimate(self.value, *percentile_interval(self.draws, self.rows, CONFIDENCE))


class Resampled:
    """Images of one class with their resamples.

    Attributes:
      features: [n, d].
      copies: [1 + R, n] how often each row is in a resample; the first is all rows once each. Without resamples, where
        n < 5, [1, n].
    """

    def __init__(self, features: np.ndarray, resamples: int, seed: Sequence[int]):
        self.features = features
        self.copies = np.ones((1, len(features)))
        if len(features) >= MIN_ROWS:
            drawn = resample_counts(len(features), resamples, np.random.default_rng(seed))
            self.copies = np.concatenate([self.copies, drawn])
        self.copies = self.copies.astype(np.uint16)  # They are kept for every class.
        self._within = within_draws(features, self.copies) if len(features) >= 2 else None
        self._few = features[:ROUGH]
        self._within_few = float(within_draws(self._few, _once(self._few))[0]) if len(features) >= 2 else None

    def __len__(self) -> int:
        return len(self.features)

    def distance(self, other: "Resampled") -> Drawn | None:
        """Unbiased KID of two independent sets; None where one has fewer than two images."""
        if self._within is None or other._within is None:
            return None
        known = min(len(self.copies), len(other.copies))
        crossed = cross_draws(self.features, other.features, self.copies[:known], other.copies[:known])
        values = self._within[:known] + other._within[:known] - 2 * crossed
        return Drawn(float(values[0]), values[1:] if known > 1 else None, min(len(self), len(other)))

    def rough_distance(self, other: "Resampled") -> float | None:
        """KID of the first images of both: what `distance` would read of them."""
        if self._within_few is None or other._within_few is None:
            return None
        crossed = cross_draws(self._few, other._few, _once(self._few), _once(other._few))
        return self._within_few + other._within_few - 2 * float(crossed[0])


def _once(features: np.ndarray) -> np.ndarray:
    return np.ones((1, len(features)))


def ratio(above: Drawn, below: Drawn) -> Estimate:
    """above / below with paired resamples, where below.value > 0.

    A resample whose denominator is not above 0 has a ratio without bound, whatever its numerator: on the safe side for
    figures that should be small. `hi` is None where such resamples reach it.
    """
    value, rows = above.value / below.value, min(above.rows, below.rows)
    if above.draws is None or below.draws is None:
        return Estimate(value)
    ratios = np.full(len(above.draws), _UNBOUNDED)
    np.divide(above.draws, below.draws, out=ratios, where=below.draws > 0)
    lo, hi = percentile_interval(ratios, rows, CONFIDENCE)
    return Estimate(value, lo if lo < _UNBOUNDED / 1e9 else None, hi if hi < _UNBOUNDED / 1e9 else None)


def mean_of(values: np.ndarray, resamples: int, seed: Sequence[int]) -> Drawn:
    """Mean of values [n], n >= 1."""
    draws = None
    if len(values) >= MIN_ROWS:
        draws = resample_counts(len(values), resamples, np.random.default_rng(seed)) @ values / len(values)
    return Drawn(float(values.mean()), draws, len(values))
