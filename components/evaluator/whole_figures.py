"""The figures of all classes together."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from components.evaluator.class_figures import MOST as MOST_OF_A_CLASS
from components.evaluator.class_figures import proportion
from components.evaluator.options import GateOptions
from components.evaluator.rules import WHOLE_INTERVALS
from components.evaluator.views import Known, View
from metrics.balance import class_balance
from metrics.c2st import c2st
from metrics.estimate import Estimate
from metrics.frechet import frechet_distance
from metrics.inception_score import inception_score
from metrics.kernel import kernel_distance, kernel_distance_interval
from metrics.memorization import MIN_CELL, authenticity, data_copying
from metrics.prdc import prdc
from metrics.resampling import MIN_ROWS

# Images a side beyond which figures of pairs of images look no further; their classes keep their parts.
MOST = 2000
NEAREST_K = 5
# Random halvings that a null is averaged over: fewer of many images, where one tells as much and costs more.
MAX_HALVINGS = 20
HALVED_IMAGES = 5000


def matched(real: View, made: View, classes: int) -> tuple[View, View]:
    """Real and generated images with equal labels, in the order of the labels.

    Of each class the first s * n generated images, n being its real ones and s <= 1 the largest that suffices for all
    classes; s is 1 where the generator was asked for enough. Real images are all taken.
    """
    wanted = np.bincount(real.labels, minlength=classes)
    there = np.bincount(made.labels, minlength=classes)
    s = min((there[c] / wanted[c] for c in range(classes) if wanted[c]), default=0.0)
    counts = np.floor(wanted * min(s, 1.0) + 1e-9).astype(int)
    rows = [np.flatnonzero(made.labels == c)[: counts[c]] for c in range(classes)]
    return real.take(np.argsort(real.labels, kind="stable")), made.take(np.concatenate(rows))


def whole(real: View, made: View, known: Known, classes: Sequence[str], options: GateOptions) -> dict[str, Any]:
    """Figures of all classes together, as they stand in the document.

    Equal labels make the two sets more alike than two independent ones: of a perfect generator KID reads a little
    below 0, by the order of 1 / n. KID, precision, recall, density, coverage, the two-sample test and the null look at
    2,000 images a side at most.
    """
    real, drawn = matched(real, made, len(classes))
    some_real, some_made = _thinned(real), _thinned(drawn)
    fewest = min(len(some_real), len(some_made))
    x, y = some_real.features, some_made.features
    kid = _kid(x, y, options) if fewest >= 2 else None
    agreement = proportion(int(np.sum(drawn.predicted == drawn.labels)), len(drawn))
    tested = c2st(x, y, seed=options.seed) if fewest >= MIN_ROWS else None
    neighbours = asdict(prdc(x, y, NEAREST_K)) if fewest > NEAREST_K else {}
    return {
        "fid": frechet_distance(real.features, drawn.features) if fewest >= 2 else None,
        "kid": kid.value if kid else None,
        "inception_score": inception_score(drawn.probabilities) if len(drawn) else None,
        "label_agreement": agreement.value if agreement else None,
        **{name: neighbours.get(name) for name in ("precision", "recall", "density", "coverage")},
        "c2st": tested.value if tested else None,
        "intervals": {
            name: [estimate.lo, estimate.hi] if estimate else [None, None]
            for name, estimate in (("kid", kid), ("label_agreement", agreement), ("c2st", tested))
        },
        "balance": balance(drawn, classes),
        "memorization": memorization(real, made, drawn, known, len(classes)),
        "null": null(x, y, options.seed) if fewest >= 4 else None,
    }


def _thinned(view: View) -> View:
    """At most MOST of images in the order of their labels, evenly."""
    if len(view) <= MOST:
        return view
    return view.take(np.linspace(0, len(view) - 1, MOST).astype(int))


def _kid(real: np.ndarray, made: np.ndarray, options: GateOptions) -> Estimate:
    value = kernel_distance(real, made)
    if min(len(real), len(made)) < MIN_ROWS:
        return Estimate(value)
    seeds = (options.seed * 2, options.seed * 2 + 1)
    return Estimate(value, *kernel_distance_interval(real, made, resamples=options.resamples, seeds=seeds))


def balance(drawn: View, classes: Sequence[str]) -> dict[str, Any]:
    """Classes asked for against those that the judge sees."""
    if not len(drawn):
        return {"wanted": [0] * len(classes), "predicted": [0] * len(classes), "kl": None, "dead": []}
    found = class_balance(drawn.labels, drawn.predicted, len(classes))
    return {
        "wanted": list(found.wanted),
        "predicted": list(found.predicted),
        "kl": found.kl,
        "dead": [classes[label] for label in found.dead],
    }


def memorization(real: View, made: View, drawn: View, known: Known, classes: int) -> dict[str, float | int | None]:
    """Whether generated images lie nearer to training images than unseen real ones do; distances are within classes.

    `c_t` and `p` are those of Meehan et al. 2020 with the classes as cells; classes with fewer than 10 held-out images
    are one cell, with generated images in the proportions of the held-out ones: classes lie at different distances from
    their training images, and another mix of them would be another distribution. `authenticity` is that of Alaa et al.
    2022, of the generated images with the labels of the real ones, and `authenticity_real` of the real ones: what it
    should be compared with. Of each class the first 1,000 images are looked at, against all of its training images.
    """
    real, made, drawn = (_first_of_each(view, classes) for view in (real, made, drawn))
    small = np.flatnonzero(np.bincount(real.labels, minlength=classes) < MIN_CELL)
    made = made.take(_in_proportion(real, made, small, classes))
    labels = (known.labels, real.labels, made.labels)
    cells = tuple(np.where(np.isin(own, small), classes, own) for own in labels)
    test = None
    if len(known) and len(real) and len(made):
        test = data_copying(known.pixels, real.pixels, made.pixels, cells)  # type: ignore[arg-type]
    return {
        "c_t": test.c_t if test else None,
        "p": test.p if test else None,
        "cells": test.cells if test else 0,
        "authenticity": _authenticity(known, drawn, classes),
        "authenticity_real": _authenticity(known, real, classes),
    }


def _first_of_each(view: View, classes: int) -> View:
    """The first images of each class, in their order."""
    rows = [np.flatnonzero(view.labels == label)[:MOST_OF_A_CLASS] for label in range(classes)]
    return view.take(np.sort(np.concatenate(rows)))


def _in_proportion(real: View, made: View, small: np.ndarray, classes: int) -> np.ndarray:
    """A mask [m] of generated images: all, but of small classes the first ones in the proportions of the real ones."""
    wanted, there = (np.bincount(view.labels, minlength=classes)[small] for view in (real, made))
    s = min(there[wanted > 0] / wanted[wanted > 0], default=0.0)
    taken = np.ones(len(made), bool)
    for label, count in zip(small, np.floor(wanted * s + 1e-9).astype(int), strict=True):
        taken[np.flatnonzero(made.labels == label)[count:]] = False
    return taken


def _authenticity(known: Known, images: View, classes: int) -> float | None:
    """Authenticity within classes that have two training images, over all of their images."""
    total, authentic = 0, 0.0
    for label in range(classes):
        train, own = known.of_class(label).pixels, images.of_class(label).pixels
        if len(train) >= 2 and len(own):
            total += len(own)
            authentic += len(own) * authenticity(train, own)
    return authentic / total if total else None


def null(real: np.ndarray, made: np.ndarray, seed: int) -> dict[str, float | int]:
    """What the distances read between real and real: two disjoint halves of the eval images, of n images each.

    FID grows as n falls, so beside it stands the generator's own at this very n (`model_fid`, `model_kid`): a half of
    the real images against n generated ones. Means over random halvings.
    """
    random = np.random.default_rng(seed)
    n = min(len(real) // 2, len(made))
    distances: tuple[Callable[[np.ndarray, np.ndarray], float], ...] = (frechet_distance, kernel_distance)
    rows = []
    for _ in range(max(1, min(MAX_HALVINGS, HALVED_IMAGES // n))):
        order, drawn = random.permutation(len(real)), random.permutation(len(made))[:n]
        half, other = real[order[:n]], real[order[n : 2 * n]]
        rows.append([distance(half, against) for against in (other, made[drawn]) for distance in distances])
    fid, kid, model_fid, model_kid = np.mean(rows, axis=0).tolist()
    return {"n": n, "fid": fid, "kid": kid, "model_fid": model_fid, "model_kid": model_kid}


def unknown_whole(classes: int) -> dict[str, Any]:
    """What `whole` returns where nothing is known."""
    figures = ("fid", "kid", "inception_score", "label_agreement", "precision", "recall", "density", "coverage", "c2st")
    return {
        **dict.fromkeys(figures),
        "intervals": {name: [None, None] for name in WHOLE_INTERVALS},
        "balance": {"wanted": [0] * classes, "predicted": [0] * classes, "kl": None, "dead": []},
        "memorization": dict.fromkeys(("c_t", "p", "authenticity", "authenticity_real")) | {"cells": 0},
        "null": None,
    }
