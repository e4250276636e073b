"""Are generated images copies of training images? Four answers, all from distances to the nearest training image.

Give *unique* training images (oversampled copies make distances among them 0) in features that no part of the system
was trained with, such as pixels: a classifier's features of its own training images are not like those of others.
Held-out real images are what honest fakes are measured against.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr

from metrics import checks, distances
from metrics.agreement import wilson_interval
from metrics.estimate import Estimate

# Images of both kinds that a class needs for the normal approximation of its rank statistic (Meehan et al. take 20).
MIN_CELL = 10


def closest_record_ratio(train: np.ndarray, held_out: np.ndarray, fake: np.ndarray) -> float | None:
    """Mean distance of fakes to their nearest training image, over that of held-out real images.

    The "distance to the closest record" of Park et al. 2018 (table-GAN), with the unit that honest images set. Both
    distances shrink as t grows, so that the ratio has no bias in t where fakes are as new as unseen images.

    Args:
      train: [t, d] unique training images, t >= 1.
      held_out: [n, d] real images that are not in `train`, n >= 1.
      fake: [m, d], m >= 1.

    Returns:
      >= 0: about 1 where fakes are as new as unseen images, 0 where all are copies, above 1 where they are far from
      any real image. None where all held-out images are in the training set.

    Raises:
      ValueError: as `checks.features`; numbers of columns differ.
    """
    known, unseen, made = distances.points(*_three(train, held_out, fake))
    expected = distances.nearest(unseen, known)[0].mean()
    return float(distances.nearest(made, known)[0].mean() / expected) if expected else None


def copied_part(unseen: np.ndarray, made: np.ndarray) -> Estimate | None:
    """Part of the generated images that lie nearer to a training image than held-out ones hardly ever do.

    Nearer than the k-th nearest of n held-out images, k / (n + 1) being 1 %, or the nearest of all where n is below
    199. New images are that near with a probability of Beta(k, n + 1 - k) over held-out sets, k / (n + 1) on average.
    The interval is Wilson's for the m generated images; from its lower end the 97.5 % quantile of that distribution is
    taken off, since so much may be due to how near the held-out images happened to lie.

    Args:
      unseen: [n] distances of held-out images to the nearest training image. Those at 0 are training images again, and
        left out.
      made: [m] distances of generated images.

    Returns:
      0..1, or None where there are no images of a kind.
    """
    unseen = np.sort(unseen[unseen > 0])
    n, m = len(unseen), len(made)
    if not n or not m:
        return None
    k = max(1, (n + 1) // 100)
    near = int(np.sum(made < unseen[k - 1]))
    low, high = wilson_interval(near, m)
    return Estimate(near / m, max(0.0, low - float(betaincinv(k, n + 1 - k, 0.975))), high)


def authenticity(train: np.ndarray, fake: np.ndarray) -> float:
    """Part of the fakes that are further from their nearest training image than that is from its own nearest one.

    Alaa et al. 2022, section 3.2. Unseen real images score about 1/2 and not 1, depending on t and d but not on m:
    compare with `authenticity(train, held_out)`.

    Args:
      train: [t, d] unique training images, t >= 2.
      fake: [m, d], m >= 1.

    Returns:
      0..1; copies score 0.

    Raises:
      ValueError: as `checks.features`; numbers of columns differ.
    """
    train = checks.features(train, "train")
    known, made = distances.points(*checks.pair(train, fake, ("train", "fake"), at_least=1))
    found, index = distances.nearest(made, known)
    asked, place = np.unique(index, return_inverse=True)
    own = np.sqrt(distances.nearest_other_squared(known, asked))
    return float((found > own[place]).mean())


@dataclass(frozen=True)
class DataCopying:
    """The test for data copying.

    Attributes:
      c_t: mean of the cells' rank statistics, weighted by their held-out images; about 0 without copying (in units of
        one cell's standard deviation), far below 0 with it, far above where fakes are unlike real images.
      p: one-sided p-value of "fakes are nearer to training images than unseen real images are", over all cells.
      cells: how many cells had enough images.
    """

    c_t: float
    p: float
    cells: int


def data_copying(
    train: np.ndarray,
    held_out: np.ndarray,
    fake: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    min_cell: int = MIN_CELL,
) -> DataCopying | None:
    """C_T (Meehan, Chaudhuri and Dasgupta 2020, section 3.2): a rank test of the distances to the training set.

    Args:
      train: [t, d] unique training images, t >= 1.
      held_out: [n, d] real images that are not in `train`.
      fake: [m, d].
      cells: labels [t], [n] and [m] that divide space, such as classes (the paper takes k-means clusters); distances
        are measured within a cell. Without them all is one cell.
      min_cell: held-out images, and fakes, that a cell needs to count.

    Returns:
      The test, or None where no cell has enough images.

    Raises:
      ValueError: as `checks.features`; numbers of columns differ; labels that do not fit.
    """
    train, held_out, fake = _three(train, held_out, fake)
    labels = _cell_labels((train, held_out, fake), cells)
    scores, weights = [], []
    for cell in np.unique(labels[1]):
        t, real, made = (x[own == cell] for x, own in zip((train, held_out, fake), labels, strict=True))
        if len(t) and min(len(real), len(made)) >= min_cell:
            known, unseen, generated = distances.points(t, real, made)
            scores.append(_rank_score(distances.nearest(generated, known)[0], distances.nearest(unseen, known)[0]))
            weights.append(len(real))
    if not scores:
        return None
    share = np.array(weights) / sum(weights)
    c_t = float(share @ scores)
    return DataCopying(c_t, p=float(ndtr(c_t / np.sqrt(share @ share))), cells=len(scores))


def _rank_score(a: np.ndarray, b: np.ndarray) -> float:
    """Mann-Whitney statistic of a [m] against b [n] in standard deviations, corrected for ties; < 0: a is smaller."""
    m, n = len(a), len(b)
    ordered = np.sort(b)
    wins = (np.searchsorted(ordered, a, "left") + np.searchsorted(ordered, a, "right")).sum() / 2
    ties = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(np.float64)
    total = m + n
    variance = m * n / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    return float((wins - m * n / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def _three(train: np.ndarray, held_out: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, ...]:
    train, held_out = checks.pair(train, held_out, ("train", "held_out"), at_least=1)
    train, fake = checks.pair(train, fake, ("train", "fake"), at_least=1)
    return train, held_out, fake


def _cell_labels(
    arrays: tuple[np.ndarray, ...], cells: tuple[np.ndarray, np.ndarray, np.ndarray] | None
) -> list[np.ndarray]:
    if cells is None:
        return [np.zeros(len(x), np.int64) for x in arrays]
    labels = [np.asarray(own) for own in cells]
    for name, x, own in zip(("train", "held_out", "fake"), arrays, labels, strict=True):
        if own.shape != (len(x),):
            raise ValueError(f"`cells` of `{name}` have shape {own.shape}; allowed: one label a row, ({len(x)},)")
    return labels
