"""The networks that look at images: the one whose features distances are taken in, the judge, and the pixels."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.evaluator.features_options import FeaturesOptions
from components.evaluator.judge import Judge
from components.evaluator.pixels import Pixels, read_axes
from metrics import distances

MOST_COMPARED = 10_000


class FeatureNetwork(Protocol):
    """What a name in `gate.features.network` stands for."""

    name: str
    fingerprint: str
    """Changes when the features do."""
    dimensions: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C] -> float32 [n, dimensions]."""


class Eyes:
    """All that looks at an image.

    Attributes:
      judge: it gives labels, whatever network gives the features.
      pixels: memorization is measured in them.
      network: the one whose features distances are taken in.
    """

    def __init__(self, judge: Judge, pixels: Pixels, options: FeaturesOptions):
        """Takes judge and pixels, and opens the network that the options name.

        Raises:
          UserError: if its weights are not there, or not its own.
        """
        self.judge, self.pixels = judge, pixels
        self.network = _network(options, judge, pixels)

    def look(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [n, H, W, C] -> `features` [n, d], `probabilities` [n, K] and `pixels` [n, p], float32."""
        features, probabilities = self.judge.look(images)
        pixels = self.pixels(images)
        if self.network is self.pixels:
            features = pixels
        elif self.network is not self.judge:
            features = self.network(images)
        return {"features": features, "probabilities": probabilities, "pixels": pixels}


def _network(options: FeaturesOptions, judge: Judge, pixels: Pixels) -> FeatureNetwork:
    if options.network == "judge":
        return judge
    if options.network == "pixels":
        return pixels
    # Keras's applications are wanted for this one only.
    from components.evaluator.inception import Inception

    return Inception(options.weights)


@dataclass(frozen=True)
class EyesAt:
    """Where the networks lie, for any process to open them.

    Attributes:
      judge: directory of the judge's SavedModel.
      axes: file of the axes of the pixels.
      options: of the network of the features.
    """

    judge: str
    axes: str
    options: FeaturesOptions

    def load(self) -> Eyes:
        """Loads all; raises as `Judge` and `Eyes`."""
        return Eyes(Judge(self.judge), Pixels(read_axes(self.axes)), self.options)


def nearest_neighbour_accuracy(features: np.ndarray, labels: np.ndarray) -> float | None:
    """How well features tell the classes apart: each image gets the label of its nearest other one.

    Args:
      features: [n, d]; of more than 10,000 rows the first 10,000 count.
      labels: [n] int.

    Returns:
      Mean over the classes that have two images or more of the part of their images that get their own label; about
      1 / K where features say nothing of the class. None without such a class.
    """
    features, labels = features[:MOST_COMPARED], labels[:MOST_COMPARED]
    found, counts = np.unique(labels, return_counts=True)
    if counts.size == 0 or counts.max() < 2:
        return None
    (points,) = distances.points(features)
    nearest = np.zeros(len(labels), np.int64)
    for rows in points.tiles:
        closest = np.full(rows.stop - rows.start, np.inf)
        for columns in points.tiles:
            block = points.squared_distances(rows, points, columns)
            if columns == rows:
                np.fill_diagonal(block, np.inf)
            best = block.argmin(axis=1)
            values = block[np.arange(len(best)), best]
            nearest[rows] = np.where(values < closest, best + columns.start, nearest[rows])
            closest = np.minimum(values, closest)
    right = labels[nearest] == labels
    return float(np.mean([right[labels == label].mean() for label in found[counts >= 2]]))
