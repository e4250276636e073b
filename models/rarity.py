"""How rare a class is, as one number."""

from collections.abc import Sequence

import numpy as np


def rarity(counts: Sequence[int], beta: float = 0.99) -> np.ndarray:
    """Rarity of each class, float64 [K] in (0, 1], 1 for the rarest.

    The square root of the inverse effective number of images (Cui et al. 2019, eq. 2), q = sqrt((1 - beta) /
    (1 - beta^n)), over its largest value. A class without images counts as one with a single image.

    >>> rarity([1, 10, 1000]).round(2)
    array([1.  , 0.32, 0.1 ])

    Args:
      counts: training images of each class, K numbers, copies not counted.
      beta: in [0, 1): the larger, the longer more images make a class less rare.
    """
    q = np.sqrt((1 - beta) / (1 - beta ** np.maximum(counts, 1)))
    return q / q.max()
