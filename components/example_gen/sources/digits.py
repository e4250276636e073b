"""The scanned digits that come with scikit-learn: 1,797 images, 8 x 8, grey."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import sklearn
from sklearn.datasets import load_digits

from components.example_gen.sources.base import RawImage, chunk_count, ranges


class Digits:
    """Optical recognition of handwritten digits (Alpaydin & Kaynak 1998, test part)."""

    classes = tuple("0123456789")
    span = 0
    ignored: tuple[str, ...] = ()

    @cached_property
    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images, uint8 [n, 8, 8], and labels, int64 [n]. The grey values 0..16 become 0..255."""
        bunch = load_digits()
        return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target

    def fingerprint(self) -> str:
        """They come with the package."""
        return f"scikit-learn {sklearn.__version__}"

    def chunks(self) -> list[tuple[int, int]]:
        """Ranges of indices; the classes are mixed already."""
        images = len(self._data[0])
        return ranges(images, chunk_count(images))

    def read(self, chunk: tuple[int, int]) -> Iterator[RawImage]:
        """The digits of a range."""
        images, labels = self._data
        for i in range(*chunk):
            yield RawImage(f"digits[{i}]", int(labels[i]), images[i])
