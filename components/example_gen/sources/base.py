"""What a source of images is."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from components.example_gen.images import BadImage

Split = Literal["train", "eval"]

# The part of a source that is read in one go; each source has its own kind, small and picklable.
Chunk = Any


@dataclass(frozen=True, slots=True)
class RawImage:
    """An image as its source holds it.

    Attributes:
      key: names the image to a person, such as its path below the root; unique in its source.
      label: index of its class; None where it has none.
      data: an encoded image, pixels (uint8 [h, w]), or why it could not be read.
      split: the split that the source puts it in; None where the source has none.
      group: names the object that it shows; None if it stands for itself.
    """

    key: str
    label: int | None
    data: bytes | np.ndarray | BadImage
    split: Split | None = None
    group: str | None = None


class Source(Protocol):
    """A set of images, most or all of them labelled, that can be read in parts."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""

    span: int
    """The newest span; 0 where the source has none."""

    ignored: tuple[str, ...]
    """Names of folders that were passed over, because they have no number where those of spans do."""

    def fingerprint(self) -> str:
        """Changes when the images may have changed; found without reading them."""

    def chunks(self) -> list[Chunk]:
        """The parts, each holding images of all classes; the same list for the same images."""

    def read(self, chunk: Chunk) -> Iterator[RawImage]:
        """The images of one part, always in the same order."""


def chunk_count(images: int, smallest: int = 256, most: int = 1024) -> int:
    """How many parts to make of so many images: parts of `smallest` images or more, and not more than `most` parts."""
    return min(most, math.ceil(images / smallest))


def ranges(images: int, parts: int) -> list[tuple[int, int]]:
    """[lo, hi) of each of `parts` parts of equal size.

    >>> ranges(7, 2)
    [(0, 3), (3, 7)]
    """
    bounds = [images * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(bounds))
