"""Which classes the judge sees among generated images, against those that were asked for."""

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr

from metrics import checks


@dataclass(frozen=True)
class Balance:
    """Wanted against predicted classes.

    Attributes:
      wanted: images asked for, of each class.
      predicted: images that the judge gave each class.
      kl: KL divergence of the wanted from the predicted distribution, in nats; >= 0, 0 for equal counts. Biased
        upwards, by about (K - 1) / 2m where predictions are drawn at random. Half an image is added to every class of
        both (Krichevsky and Trofimov 1981), so that a class that is never seen makes it large and not infinite.
      dead: classes that were asked for and never seen.
    """

    wanted: tuple[int, ...]
    predicted: tuple[int, ...]
    kl: float
    dead: tuple[int, ...]


def class_balance(wanted: np.ndarray, predicted: np.ndarray, classes: int) -> Balance:
    """Compares class counts.

    Counts say nothing of single images: two classes that are swapped leave them as they are (see `agreement`).

    Args:
      wanted: [n] int labels asked for, n >= 1.
      predicted: [m] int labels that the judge gave, m >= 1.
      classes: K.

    Raises:
      ValueError: as `checks.labels`; a side is empty.

    >>> class_balance([0, 0, 1, 2], [0, 0, 1, 1], classes=3).dead
    (2,)
    """
    sides = []
    for name, labels in (("wanted", wanted), ("predicted", predicted)):
        counts = np.bincount(checks.labels(labels, classes, name), minlength=classes)
        if not counts.sum():
            raise ValueError(f"`{name}` has no labels")
        sides.append(counts)
    smooth = [(counts + 0.5) / (counts.sum() + 0.5 * classes) for counts in sides]
    return Balance(
        wanted=tuple(sides[0].tolist()),
        predicted=tuple(sides[1].tolist()),
        kl=max(0.0, float(rel_entr(*smooth).sum())),
        dead=tuple(np.flatnonzero((sides[0] > 0) & (sides[1] == 0)).tolist()),
    )
