"""The figures of a generator, from the judge's features and class probabilities of real and generated images.

Everything here is a pure function of numpy arrays. Distances are taken against *eval* images only: features of the
judge's own training images are inflated by its overfitting.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.frechet import frechet_distance
from metrics.inception_score import inception_score
from metrics.kernel import kernel_distance

MAX_HALVINGS = 20


@dataclass(frozen=True)
class Judged:
    """Images as the judge sees them.

    Attributes:
      features: [n, d] float.
      probabilities: [n, K] float.
      labels: [n] int; of generated images, the labels that were asked for.
    """

    features: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def agrees(self) -> np.ndarray:
        """[n] bool: the judge's class is the label."""
        return self.probabilities.argmax(axis=1) == self.labels

    def of_class(self, label: int) -> "Judged":
        """The images with this label."""
        chosen = self.labels == label
        return Judged(self.features[chosen], self.probabilities[chosen], self.labels[chosen])


def _halvings(n: int) -> int:
    """Random halvings that a null is averaged over: fewer of many images, where one tells as much and costs more."""
    return max(1, min(MAX_HALVINGS, 20_000 // max(n, 1)))


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _kid(real: np.ndarray, fake: np.ndarray) -> float | None:
    """Unbiased KID, or None where a side has fewer than the two images it takes."""
    return kernel_distance(real, fake) if min(len(real), len(fake)) >= 2 else None


def whole(real: Judged, fake: Judged) -> dict[str, float | None]:
    """Figures of the whole: `fake` has as many images, with the same labels, as `real`.

    Equal labels make the two sets more alike than two independent ones: of a perfect generator KID reads a little
    below 0, by the order of 1 / n.
    """
    return {
        "fid": frechet_distance(real.features, fake.features),
        "kid": _kid(real.features, fake.features),
        "inception_score": inception_score(fake.probabilities),
        "label_agreement": _mean(fake.agrees),
    }


def null(real: Judged, fake: Judged, seed: int) -> dict[str, float | int]:
    """What the distances read between real and real: two disjoint halves of the eval images, of n images each.

    FID grows as n falls, so beside it stands the generator's own at this very n (`model_fid`, `model_kid`): a half of
    the real images against n generated ones. Means over up to `MAX_HALVINGS` random halvings.
    """
    random = np.random.default_rng(seed)
    n = len(real.labels) // 2
    rows = []
    for _ in range(_halvings(n)):
        order, drawn = random.permutation(len(real.labels)), random.permutation(len(fake.labels))[:n]
        half, other, made = real.features[order[:n]], real.features[order[n : 2 * n]], fake.features[drawn]
        rows.append(
            (
                frechet_distance(half, other),
                kernel_distance(half, other),
                frechet_distance(half, made),
                kernel_distance(half, made),
            )
        )
    fid, kid, model_fid, model_kid = np.mean(rows, axis=0).tolist()
    return {"n": n, "fid": fid, "kid": kid, "model_fid": model_fid, "model_kid": model_kid}


def null_kid(features: np.ndarray, seed: int) -> float | None:
    """Mean unbiased KID between disjoint random halves of one class; about 0, None below four images."""
    random, n = np.random.default_rng(seed), len(features) // 2
    if n < 2:
        return None
    halvings = (random.permutation(len(features)) for _ in range(_halvings(n)))
    return float(np.mean([kernel_distance(features[o[:n]], features[o[n : 2 * n]]) for o in halvings]))


def per_class(real: Judged, fake: Judged, classes: tuple[str, ...], seed: int) -> dict[str, dict[str, Any]]:
    """Figures of each class, by name. `label_agreement_ratio` is agreement over the judge's recall on real images."""
    result = {}
    for label, name in enumerate(classes):
        own_real, own_fake = real.of_class(label), fake.of_class(label)
        agreement, recall = _mean(own_fake.agrees), _mean(own_real.agrees)
        result[name] = {
            "eval_real": len(own_real.labels),
            "kid": _kid(own_real.features, own_fake.features),
            "null_kid": null_kid(own_real.features, seed),
            "label_agreement": agreement,
            "judge_recall": recall,
            "label_agreement_ratio": _ratio(agreement, recall),
        }
    return result


def worst(classes: dict[str, dict[str, Any]], figure: str, more_is_better: bool) -> float | None:
    """The worst value of a figure over the classes; None if a class has none, for then the worst is not known."""
    values = [row[figure] for row in classes.values()]
    if any(value is None for value in values):
        return None
    return min(values) if more_is_better else max(values)
