"""What is known of a data set besides its images; it travels beside them as `dataset.json`."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.files import write_whole

FILE_NAME = "dataset.json"
UNLABELLED = -1  # the label of an image that has none


class DatasetInfo(BaseModel):
    """Vocabulary, image shape and counts of an Examples artifact.

    Attributes:
      classes: class names; the label of `classes[k]` is k.
      image_shape: (H, W, C) of every image.
      fingerprint: hex digest over the ids and labels of all images; equal data has an equal fingerprint.
      counts: {split: images of each class}, by label.
      train_unique: different images of each class in the train split (`counts` holds copies too, after rebalancing).
      source_counts: images of each class that the source held, before duplicates, quarantine and the long tail.
      duplicates: images dropped because an earlier one has equal pixels.
      quarantined: files that could not be read.
      unlabelled: images of the train split that have no class; in none of the counts above.
      has_masks: whether examples say which of their pixels are missing.
      class_weights: loss weight of each class (1 where nothing is weighted).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    fingerprint: str
    counts: dict[str, tuple[int, ...]]
    train_unique: tuple[int, ...]
    source_counts: tuple[int, ...]
    duplicates: int = 0
    quarantined: int = 0
    unlabelled: int = 0
    has_masks: bool = False
    class_weights: tuple[float, ...]

    @classmethod
    def load(cls, uri: str) -> "DatasetInfo":
        """Reads the `dataset.json` of the Examples artifact at `uri`."""
        return cls.model_validate_json((Path(uri) / FILE_NAME).read_text(encoding="utf-8"))

    @classmethod
    def beside(cls, file_pattern: str) -> "DatasetInfo":
        """Reads it from a file pattern of a split, such as `<uri>/Split-train/*`, which is what a Trainer is given."""
        return cls.load(os.path.dirname(os.path.dirname(file_pattern)))

    def save(self, uri: str) -> None:
        """Writes `dataset.json` below `uri`, whole or not at all."""
        write_whole(Path(uri) / FILE_NAME, self.model_dump_json(indent=2))
