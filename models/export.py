"""A trained generator as a SavedModel that a stock TensorFlow Serving takes, and the way back."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models.data import decode, to_uint8
from models.dataset import DatasetInfo
from models.files import write_whole

METADATA_FILE = "assets.extra/tailgan.json"  # TensorFlow Serving leaves `assets.extra` alone
SIGNATURE = "serving_default"
OK = "ok"


class GeneratorModule(tf.Module):
    """A generator with the signature of an exported one."""

    def __init__(self, generator: keras.Model, classes: int):
        """Takes a generator of `models.networks.build_networks` and the number of its classes."""
        super().__init__()
        # The variables are tracked, the model is not: saved through it, each of them would become two in the graph, one
        # restored and the other read. TensorFlow Serving, which runs the graph, would find no values.
        self.weights = [variable.value for variable in generator.variables]
        self.latent_dim = generator.inputs[0].shape[1]
        self.images = functools.partial(generator, training=False)
        self.classes = classes
        vector = [tf.TensorSpec([None], tf.int64, name=name) for name in ("label", "seed")]
        self.generate = tf.function(self._generate, input_signature=vector)

    def _generate(self, label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Row i of the answer depends on row i of the question alone; an unknown label spoils only its own row.

        Args:
          label: int64 [n], 0..K-1.
          seed: int64 [n], any value.

        Returns:
          `image_bytes` (PNG, string [n]; empty where the status is not `ok`) and `status` (string [n]).
        """
        with tf.control_dependencies(
            [tf.debugging.assert_equal(tf.size(label), tf.size(seed), "label and seed differ in length")]
        ):
            known = (label >= 0) & (label < self.classes)
        # One row more than was asked for, because convolutions and the PNG encoder do not take a batch of none.
        rows = tf.concat([tf.where(known, label, 0), [0]], axis=0), tf.concat([seed, [0]], axis=0)
        images = self.images([self._latent(rows[1]), rows[0]])
        png = tf.io.encode_png(to_uint8(images))[:-1]
        reason = tf.strings.join(["unknown label ", tf.strings.as_string(label), f": allowed 0..{self.classes - 1}"])
        return {"image_bytes": tf.where(known, png, ""), "status": tf.where(known, OK, reason)}

    def _latent(self, seeds: tf.Tensor) -> tf.Tensor:
        """z [n, latent_dim] of seeds [n]."""
        spec = tf.TensorSpec([self.latent_dim], tf.float32)

        def normal(seed: tf.Tensor) -> tf.Tensor:
            # The algorithm is named, for devices differ in their default.
            return tf.random.stateless_normal(spec.shape, tf.stack([seed, 0]), alg="philox")

        return tf.map_fn(normal, seeds, fn_output_signature=spec)


def export_generator(generator: keras.Model, path: str, info: DatasetInfo) -> None:
    """Writes a SavedModel with the signature `serving_default`, and `assets.extra/tailgan.json`.

    The JSON holds `classes`, `image_shape`, `data` (the data's fingerprint) and `fingerprint` (the generator's own).

    Args:
      generator: as `models.networks.build_networks` makes it.
      path: directory of the SavedModel.
      info: of the data it was trained on.
    """
    module = GeneratorModule(generator, len(info.classes))
    tf.saved_model.save(module, path, signatures={SIGNATURE: module.generate})
    metadata = {
        "classes": info.classes,
        "image_shape": info.image_shape,
        "data": info.fingerprint,
        "fingerprint": _fingerprint(generator, info.classes),
    }
    file = Path(path) / METADATA_FILE
    file.parent.mkdir(exist_ok=True)
    write_whole(file, json.dumps(metadata, indent=2))


def _fingerprint(generator: keras.Model, classes: tuple[str, ...]) -> str:
    """Identity of a generator: a hex digest over its class names and weights."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for weight in generator.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


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
        signature = model.signatures.get(SIGNATURE)
        inputs = signature.structured_input_signature[1].keys() if signature else set()
        if (
            signature is None
            or {"label", "seed"} != inputs
            or {"image_bytes", "status"} - signature.structured_outputs.keys()
        ):
            raise ValueError(f"{path}: no signature `{SIGNATURE}` from label and seed to image_bytes and status")
        file = Path(path) / METADATA_FILE
        if not file.is_file():
            raise ValueError(f"{path}: no {METADATA_FILE}, which names the classes")
        metadata = json.loads(file.read_text(encoding="utf-8"))
        self.classes: tuple[str, ...] = tuple(metadata["classes"])
        self.image_shape: tuple[int, int, int] = tuple(metadata["image_shape"])
        self.fingerprint: str = metadata["fingerprint"]
        self._model = model  # keeps the variables that the signature uses
        self._signature = signature

    def generate(self, labels: np.ndarray, seeds: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """uint8 [n, H, W, C] for labels and seeds, int [n] each; raises as `generate_png` does."""
        images = np.empty((len(labels), *self.image_shape), np.uint8)
        for row, png in enumerate(self._pngs(labels, seeds, batch_size)):
            images[row] = decode(png, self.image_shape)
        return images

    def generate_png(self, labels: np.ndarray, seeds: np.ndarray, batch_size: int = 256) -> list[bytes]:
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
