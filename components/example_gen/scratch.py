"""What the steps of ExampleGen leave for one another in files, and what they hand to one another.

A part's images are converted once, to a file of its own; between the steps travel some 40 bytes an image.
"""

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

BadFile = tuple[str, str]  # key of the image, reason


@dataclass(frozen=True)
class Summary:
    """What is known of a part once it is converted.

    Attributes:
      index: the part's place among all.
      rows: split.ROW [n], one for each image that could be read, in the order of its records.
      found: int64 [K], images of each class that the source holds, readable or not.
      bad: images that could not be read.
      first_bad: a few of them.
      grouped: whether an image belongs to a group.
    """

    index: int
    rows: np.ndarray
    found: np.ndarray
    bad: int
    first_bad: tuple[BadFile, ...]
    grouped: bool


@dataclass(frozen=True)
class Scratch:
    """Names of the files below a directory that all workers reach."""

    directory: str

    def records(self, index: int) -> str:
        """Serialized examples of a part: an uncompressed TFRecord."""
        return os.path.join(self.directory, f"records-{index:05d}")

    def keys(self, index: int) -> str:
        """Keys of these examples: a JSON list."""
        return os.path.join(self.directory, f"keys-{index:05d}.json")

    def bad(self, index: int) -> str:
        """Images of a part that could not be read: JSON lines of `path` and `reason`."""
        return os.path.join(self.directory, f"bad-{index:05d}.jsonl")

    @property
    def duplicates(self) -> str:
        """int64 [m, 4]: part and row of each duplicate, part and row of the image kept in its place."""
        return os.path.join(self.directory, "duplicates.npy")

    @property
    def fault(self) -> str:
        """Why the run stops; absent if it goes on."""
        return os.path.join(self.directory, "fault.txt")


def json_line(**values: Any) -> str:
    """One line of a JSON-lines file."""
    return json.dumps(values) + "\n"
