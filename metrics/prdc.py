"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), by nearest neighbours.

Around each image lies the ball that reaches to its k-th nearest neighbour of its own set.
"""

from dataclasses import dataclass

import numpy as np

from metrics import checks, distances


@dataclass(frozen=True)
class Prdc:
    """Fidelity and variety of generated images.

    Attributes:
      precision: part of the fakes within a ball of a real image, 0..1. One outlier among the reals can raise it.
      recall: part of the reals within a ball of a fake, 0..1. One outlier among the fakes can raise it.
      density: mean number of real balls around a fake, over k; >= 0, about 1 for equal distributions.
      coverage: part of the real balls that hold a fake, 0..1; for equal distributions and m = n about 1 - 2^-k.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, fake: np.ndarray, nearest_k: int = 5) -> Prdc:
    """The four figures, with the strict inequalities of the authors' own package; memory is flat in n and m.

    All are biased in n and m, for the balls shrink as sets grow: compare at equal numbers.

    Args:
      real: [n, d], n > nearest_k.
      fake: [m, d], m > nearest_k.
      nearest_k: k, at least 1.

    Returns:
      Counts over counts, as exact as the distances are: float64, also of float32 features.

    Raises:
      ValueError: as `checks.pair`; `nearest_k` below 1.
    """
    if nearest_k < 1:
        raise ValueError(f"`nearest_k` is {nearest_k}; at least 1 is needed")
    reals, fakes = distances.points(*checks.pair(real, fake, at_least=nearest_k + 1))
    real_radii = distances.kth_nearest_squared(reals, nearest_k)
    fake_radii = distances.kth_nearest_squared(fakes, nearest_k)
    precise = np.zeros(len(fakes), bool)
    recalled, covered = np.zeros(len(reals), bool), np.zeros(len(reals), bool)
    within = 0
    for rows in reals.tiles:
        for columns in fakes.tiles:
            block = reals.squared_distances(rows, fakes, columns)
            inside = block < real_radii[rows, None]
            precise[columns] |= inside.any(axis=0)
            covered[rows] |= inside.any(axis=1)
            within += int(np.count_nonzero(inside))
            recalled[rows] |= (block < fake_radii[columns]).any(axis=1)
    return Prdc(
        precision=float(precise.mean()),
        recall=float(recalled.mean()),
        density=within / (nearest_k * len(fakes)),
        coverage=float(covered.mean()),
    )
