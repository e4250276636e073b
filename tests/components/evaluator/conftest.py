"""Views of Gaussian classes, whose faults are known because they were put in."""

from collections.abc import Sequence

import numpy as np
import pytest

from components.evaluator.views import Known, View

DIMENSIONS = 8
PIXELS = 6


class Gaussians:
    """K Gaussian classes in features and pixels; the judge takes an image for the class with the nearest mean."""

    def __init__(self, classes: int, gap: float = 1.5):
        random = np.random.default_rng(99)
        self.means = gap * random.normal(size=(classes, DIMENSIONS))
        self.names = tuple("abcdefghij"[:classes])

    def view(
        self,
        counts: Sequence[int],
        seed: int,
        drawn_as: dict[int, int] | None = None,
        spread: dict[int, float] | None = None,
        towards: dict[int, tuple[int, float]] | None = None,
    ) -> View:
        """Images of each class, as many as counts say.

        Args:
          counts: by class.
          seed: of the images.
          drawn_as: classes that are drawn as another.
          spread: standard deviations of classes, 1 for others.
          towards: classes whose mean is moved to that of another, by this part of the way.
        """
        labels = np.repeat(np.arange(len(counts)), counts)
        drawn = np.array([(drawn_as or {}).get(label, label) for label in labels], int)
        scale = np.array([(spread or {}).get(label, 1.0) for label in labels])[:, None]
        means = self.means.copy()
        for label, (other, part) in (towards or {}).items():
            means[label] += part * (self.means[other] - self.means[label])
        random = np.random.default_rng(seed)
        features = means[drawn] + scale * random.normal(size=(len(labels), DIMENSIONS))
        pixels = drawn[:, None] + scale * random.normal(size=(len(labels), PIXELS))
        near = ((features[:, None] - self.means[None]) ** 2).sum(axis=2).argmin(axis=1)
        return View(
            labels, features.astype(np.float32), np.eye(len(counts), dtype=np.float32)[near], pixels.astype(np.float32)
        )

    def known(self, counts: Sequence[int], seed: int = 1000) -> Known:
        """Training images."""
        view = self.view(counts, seed)
        return Known(view.labels, view.pixels)


@pytest.fixture(scope="session")
def gaussians() -> Gaussians:
    return Gaussians(4)


@pytest.fixture(scope="session")
def make_gaussians() -> type[Gaussians]:
    return Gaussians
