"""Images as the networks of the Evaluator see them: all that the figures are computed from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class View:
    """n images as the networks see them.

    Attributes:
      labels: [n] int64; of generated images, the labels that were asked for.
      features: [n, d] float32, of the network that `gate.features` names.
      probabilities: [n, K] float32, the judge's.
      pixels: [n, p] float32, principal components of the pixels; their axes are found on the training images.
    """

    labels: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """[n] int64, the class that the judge sees."""
        return self.probabilities.argmax(axis=1)

    def take(self, rows: np.ndarray | slice) -> "View":
        """Some of the images: a slice, indices or a mask [n]."""
        return View(self.labels[rows], self.features[rows], self.probabilities[rows], self.pixels[rows])

    def of_class(self, label: int) -> "View":
        """The images with this label, in their order."""
        return self.take(self.labels == label)


@dataclass(frozen=True, eq=False)
class Known:
    """The different training images: only what memorization needs.

    Attributes:
      labels: [t] int64.
      pixels: [t, p] float32, as in View.
    """

    labels: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def of_class(self, label: int) -> "Known":
        """The training images with this label."""
        chosen = self.labels == label
        return Known(self.labels[chosen], self.pixels[chosen])
