"""Inception Score (Salimans et al. 2016): exp of the mean KL divergence of p(y|x) from p(y)."""

import numpy as np
from scipy.special import rel_entr

from metrics import checks


def inception_score(probabilities: np.ndarray, splits: int = 1) -> float:
    """The mean score over consecutive parts of the images.

    It sees whether images are of a clear class each and of many classes together; it sees no real image, nor whether
    images of one class differ. Biased downwards in n, the more the smaller a part is.

    Args:
      probabilities: [n, K] class probabilities of generated images.
      splits: number of parts, 1..n; parts differ in size by one image at most. Published figures take 10.

    Returns:
      1 (all images alike) to K (each of one class, all classes equally often).

    Raises:
      ValueError: as `checks.probabilities`; `splits` outside 1..n.
    """
    p = checks.probabilities(probabilities)
    n = len(p)
    if not 1 <= splits <= n:
        raise ValueError(f"`splits` is {splits}; allowed: 1 to the number of images, {n}")
    parts = (p[i * n // splits : (i + 1) * n // splits] for i in range(splits))
    return float(np.mean([np.exp(rel_entr(part, part.mean(axis=0)).sum() / len(part)) for part in parts]))
