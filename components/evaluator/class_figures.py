"""The figures of single classes, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from scipy.special import ndtri

from components.evaluator.options import GateOptions
from components.evaluator.resampled import CONFIDENCE, Drawn, Resampled, mean_of, ratio
from components.evaluator.views import Known, View
from metrics import distances, power
from metrics.agreement import agreement_ratio, wilson_interval
from metrics.diversity import diversity_estimate, diversity_ratio
from metrics.estimate import Estimate
from metrics.kernel import cross_draws, permutation_p_value, within_draws
from metrics.memorization import MIN_CELL, copied_part, data_copying
from metrics.prdc import prdc
from metrics.resampling import MIN_ROWS

# Images of a class, real and generated, beyond which class figures look no further; the first ones of each.
MOST = 1000
NEAREST_K = 5
MOST_GROUPS = 20
HALVINGS = 20

# Figures that come with an interval, in the order of the document.
ESTIMATED = (
    "kid", "kid_relative", "coverage", "diversity", "label_agreement", "judge_recall", "label_agreement_ratio",
    "closest_record_ratio", "copied",
)  # fmt: skip

# What a seed is for: resamples of different things are independent.
REAL, MADE, OTHER, RECORDS = range(4)


@dataclass(frozen=True, eq=False)
class RealClasses:
    """The held-out images of all classes, and of each class the nearest other one.

    Attributes:
      samples: of each class, its images with their resamples.
      nearest: of each class, the nearest other class and the KID to it; None where there is none, or too few images.
    """

    samples: list[Resampled]
    nearest: list[tuple[int, Drawn] | None]

    def scale(self, label: int) -> Drawn | None:
        """The KID to the nearest other class, where its interval lies above 0 so that it can be divided by."""
        near = self.nearest[label]
        if near is None:
            return None
        lo = near[1].estimate().lo
        return near[1] if lo is not None and lo > 0 else None


def sample(view: View, label: int, options: GateOptions, kind: int, index: int = 0) -> Resampled:
    """Images of one class with resamples of their own; `kind` and `index` say whose images they are."""
    features = view.of_class(label).features[:MOST]
    return Resampled(features, options.resamples, (options.seed, kind, index, label))


def real_classes(real: View, classes: int, options: GateOptions) -> RealClasses:
    """Looks for the nearest class of each by the first images alone; of the one that is found all are resampled."""
    samples = [sample(real, label, options, REAL) for label in range(classes)]
    found = np.full((classes, classes), np.inf)
    for label in range(classes):
        for other in range(label):
            value = samples[label].rough_distance(samples[other])
            if value is not None:
                found[label, other] = found[other, label] = value
    nearest: list[tuple[int, Drawn] | None] = []
    for label in range(classes):
        other = int(found[label].argmin())
        drawn = samples[label].distance(samples[other]) if np.isfinite(found[label, other]) else None
        nearest.append((other, drawn) if drawn else None)
    return RealClasses(samples, nearest)


def class_row(
    label: int,
    classes: Sequence[str],
    held_out: View,
    generated: View,
    known: Known,
    kid: Drawn | None,
    kernel: RealClasses,
    options: GateOptions,
) -> dict[str, Any]:
    """All figures of one class, as they stand in the document; None for what too few images cannot tell.

    Args:
      label: the class.
      classes: names of all.
      held_out: real images of the class.
      generated: generated images of the class.
      known: training images of the class.
      kid: distance of the two with resamples.
      kernel: the real images of all classes.
      options: of the gate.
    """
    near, scale = kernel.nearest[label], kernel.scale(label)
    real, made = held_out.features[:MOST], generated.features[:MOST]
    looks_like, part = _looks_like(generated)
    coverage, null_coverage = class_coverage(real, made)
    unseen_away, made_away = away(known, held_out), away(known, generated)
    seen = smallest_kid_relative(real, len(made), scale)
    estimates = {
        "kid": kid.estimate() if kid else None,
        "kid_relative": ratio(kid, scale) if kid and scale else None,
        "coverage": coverage,
        "diversity": _diversity(real, made, label, options),
        **_agreement(label, held_out, generated),
        "closest_record_ratio": closest_record_ratio(unseen_away, made_away, label, options),
        "copied": copied_part(unseen_away, made_away),
    }
    return {
        "train_unique": len(known),
        "eval_real": len(held_out),
        "generated": len(generated),
        **{name: estimate.value if estimate else None for name, estimate in estimates.items()},
        "null_kid": null_kid(real, options.seed),
        "null_kid_high": null_kid_high(real, len(made)),
        "kid_p": _permutation_p(real, made, label, options),
        "nearest_class": classes[near[0]] if near else None,
        "null_coverage": null_coverage,
        "memorization_p": _memorization_p(known, held_out, generated),
        "looks_like": None if looks_like is None else classes[looks_like],
        "looks_like_part": part,
        "smallest_kid_relative": seen,
        "enough_data": seen is not None and seen <= options.resolution,
        "intervals": {name: [e.lo, e.hi] if e else [None, None] for name, e in estimates.items()},
    }


def unknown_row(held_out: int, generated: int, known: int) -> dict[str, Any]:
    """The row of a class whose generated images have no figures, with the number of images of each kind."""
    names = (
        *ESTIMATED, "null_kid", "null_kid_high", "kid_p", "nearest_class", "null_coverage", "memorization_p",
        "looks_like", "looks_like_part", "smallest_kid_relative",
    )  # fmt: skip
    return {
        "train_unique": known,
        "eval_real": held_out,
        "generated": generated,
        **dict.fromkeys(names),
        "enough_data": False,
        "intervals": {name: [None, None] for name in ESTIMATED},
    }


def null_kid(features: np.ndarray, seed: int) -> float | None:
    """Mean unbiased KID between disjoint random halves of real images of one class; None below four images."""
    n, half = len(features), len(features) // 2
    if half < 2:
        return None
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (HALVINGS, 1)), axis=1)
    one, two = ((orders >= half * i) & (orders < half * (i + 1)) for i in range(2))
    within = within_draws(features, one) + within_draws(features, two)
    return float(np.mean(within - 2 * cross_draws(features, features, one, two)))


def null_kid_high(real: np.ndarray, m: int) -> float | None:
    """What KID between n real images and m others of their distribution stays below in 95 % of cases, about.

    By the normal approximation, see `metrics.power.null_deviation`; None below four real images.
    """
    if len(real) < power.MIN_ROWS or m < 2:
        return None
    return float(ndtri(CONFIDENCE)) * power.null_deviation(real, m)


def proportion(successes: int, n: int) -> Estimate | None:
    """A proportion with Wilson's interval; None of nothing."""
    return Estimate(successes / n, *wilson_interval(successes, n)) if n else None


def _agreement(label: int, held_out: View, generated: View) -> dict[str, Estimate | None]:
    agreeing, recalled = (int(np.sum(view.predicted == label)) for view in (generated, held_out))
    return {
        "label_agreement": proportion(agreeing, len(generated)),
        "judge_recall": proportion(recalled, len(held_out)),
        "label_agreement_ratio": agreement_ratio(agreeing, len(generated), recalled, len(held_out)),
    }


def _looks_like(generated: View) -> tuple[int | None, float | None]:
    """The class that the judge sees most, and in which part of the images."""
    if not len(generated):
        return None, None
    counts = np.bincount(generated.predicted, minlength=generated.probabilities.shape[1])
    return int(counts.argmax()), float(counts.max() / len(generated))


def _seed(options: GateOptions, label: int) -> int:
    """For what takes one number: another one for each class and seed of the gate."""
    return options.seed * 1_000_003 + label


def _permutation_p(real: np.ndarray, made: np.ndarray, label: int, options: GateOptions) -> float | None:
    if min(len(real), len(made)) < 2:
        return None
    return permutation_p_value(real, made, options.resamples, seed=_seed(options, label))


def _diversity(real: np.ndarray, made: np.ndarray, label: int, options: GateOptions) -> Estimate | None:
    """The ratio; 0 for certain, however few the real images, where all generated ones are equal and those are not."""
    fewest = min(len(real), len(made))
    if len(made) >= MIN_ROWS and _equal(made) and not (len(real) >= 2 and _equal(real)):
        return Estimate(0.0, 0.0, 0.0)
    if fewest < 2:
        return None
    if fewest >= MIN_ROWS:
        return diversity_estimate(real, made, resamples=options.resamples, seed=_seed(options, label))
    value = diversity_ratio(real, made)
    return None if value is None else Estimate(value)


def _equal(features: np.ndarray) -> bool:
    """Whether all rows are one, up to what a network's batches round differently."""
    return bool(np.ptp(features, axis=0).max() <= 1e-5 * np.abs(features).max())


def class_coverage(real: np.ndarray, made: np.ndarray) -> tuple[Estimate | None, float | None]:
    """Coverage (Naeem et al. 2020) at equal numbers of real and generated images, and its mean of equal distributions.

    With n real and n generated images; where more were generated, the mean over up to 20 disjoint groups of n. Its
    interval is Wilson's for n images, as if each were covered or not by itself.

    Around a real image lie n - 1 real and n generated others. Are the distributions equal, all orders of their
    distances are equally likely, and the image is not covered just if the k nearest of the 2n - 1 are all real. So
    the mean is 1 - C(n - 1, k) / C(2n - 1, k), which goes to 1 - 2^-k.

    Args:
      real: [n, d].
      made: [m, d]; if m < n, the first m real images are taken.

    Returns:
      Coverage and its null, or (None, None) with fewer than k + 1 images.
    """
    n = min(len(real), len(made))
    if n <= NEAREST_K:
        return None, None
    groups = min(len(made) // n, MOST_GROUPS)
    parts = [prdc(real[:n], made[i * n : (i + 1) * n], NEAREST_K).coverage for i in range(groups)]
    value = float(np.mean(parts))
    null = 1 - comb(n - 1, NEAREST_K) / comb(2 * n - 1, NEAREST_K)
    return Estimate(value, *wilson_interval(round(value * n), n)), null


def away(known: Known, images: View) -> np.ndarray:
    """Distances [n] of images to the nearest training image; [0] where there is none."""
    if not len(known) or not len(images):
        return np.empty(0)
    train, own = distances.points(known.pixels, images.pixels[:MOST])
    return distances.nearest(own, train)[0]


def closest_record_ratio(unseen: np.ndarray, made: np.ndarray, label: int, options: GateOptions) -> Estimate | None:
    """Mean of the distances `made` [m] to training images over that of held-out images, `unseen` [n].

    It is 0 for certain, however few the held-out images, where all generated ones are training images and they are not.
    """
    if len(made) >= MIN_ROWS and not made.any() and (unseen.any() or not len(unseen)):
        return Estimate(0.0, 0.0, 0.0)
    if len(unseen) < 2 or not len(made):
        return None
    above, below = (
        mean_of(own, options.resamples, (options.seed, RECORDS, kind, label))
        for kind, own in ((MADE, made), (REAL, unseen))
    )
    return ratio(above, below) if below.value > 0 else None


def _memorization_p(known: Known, held_out: View, generated: View) -> float | None:
    """p of the test for data copying within the class (Meehan et al. 2020); None below 10 images of a kind."""
    if not len(known) or min(len(held_out), len(generated)) < MIN_CELL:
        return None
    test = data_copying(known.pixels, held_out.pixels[:MOST], generated.pixels[:MOST])
    return test.p if test else None


def smallest_kid_relative(real: np.ndarray, m: int, scale: Drawn | None) -> float | None:
    """The smallest relative KID that so many images can show, see `metrics.power`."""
    if scale is None or len(real) < power.MIN_ROWS or m < 2:
        return None
    return power.smallest_seen(real, m) / scale.value
