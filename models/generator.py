"""An exported generator, called as a server would call it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.data import decode
from models.export import METADATA_FILE
from models.signatures import OK, SERVING_DEFAULT


class Generator:
    """An exported generator, called through its signature, as a server would.

    Attributes:
      path: directory of the SavedModel.
      classes: class names, by label.
      image_shape: (H, W, C).
      fingerprint: identity of the generator: equal for equal classes and weights.
    """

    def __init__(self, path: str):
        """Loads a SavedModel.

        Raises:
          OSError: if there is none.
          ValueError: if it is not one of `export_generator`.
        """
        self.path = path
        model = tf.saved_model.load(path)
        signature = model.signatures.get(SERVING_DEFAULT)
        inputs = signature.structured_input_signature[1].keys() if signature else set()
        if (
            signature is None
            or {"label", "seed"} != inputs
            or {"image_bytes", "status"} - signature.structured_outputs.keys()
        ):
            raise ValueError(f"{path}: no signature `{SERVING_DEFAULT}` from label and seed to image_bytes and status")
        file = Path(path) / METADATA_FILE
        if not file.is_file():
            raise ValueError(f"{path}: no {METADATA_FILE}, which names the classes")
        metadata = json.loads(file.read_text(encoding="utf-8"))
        self.classes: tuple[str, ...] = tuple(metadata["classes"])
        self.image_shape: tuple[int, int, int] = tuple(metadata["image_shape"])
        self.fingerprint: str = metadata["fingerprint"]
        self._model = model  # keeps the variables that the signature uses
        self._signature = signature

    def generate(self, labels: np.ndarray, seeds: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """uint8 [n, H, W, C] for labels and seeds, int [n] each; raises as `generate_png` does."""
        images = np.empty((len(labels), *self.image_shape), np.uint8)
        for row, png in enumerate(self._pngs(labels, seeds, batch_size)):
            images[row] = decode(png, self.image_shape)
        return images

    def generate_png(self, labels: np.ndarray, seeds: np.ndarray, batch_size: int = 64) -> list[bytes]:
        """PNG files for labels and seeds, int [n] each.

        Raises:
          ValueError: if there are not as many seeds as labels, or a label is not known.
        """
        return list(self._pngs(labels, seeds, batch_size))

    def _pngs(self, labels: np.ndarray, seeds: np.ndarray, batch_size: int) -> Iterator[bytes]:
        if len(labels) != len(seeds):
            raise ValueError(f"{len(labels)} labels, but {len(seeds)} seeds")
        for start in range(0, len(labels), batch_size):
            label, seed = (tf.constant(column[start : start + batch_size], tf.int64) for column in (labels, seeds))
            answer = self._signature(label=label, seed=seed)
            faults = [status.decode() for status in answer["status"].numpy() if status.decode() != OK]
            if faults:
                raise ValueError(f"{self.path}: {faults[0]}")
            yield from answer["image_bytes"].numpy()
