"""Settings that all tests share."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings

import components  # noqa: F401  (before TFX: it settles which Keras TFX's imports get)

# Machines that run tests are slow and shared: an example may take as long as it likes, and each run tries the same.
settings.register_profile("tailgan", deadline=None, derandomize=True)
settings.load_profile("tailgan")


def _export(
    path: Path, generate: Callable, classes: Sequence[str] | None = None, image_shape: Sequence[int] = (8, 8, 1)
) -> Path:
    """A SavedModel whose signature is `generate`: (label, seed) int64 [n] -> {`image_bytes`, `status`}.

    With `classes` it says of itself what an exported generator does.
    """
    import tensorflow as tf

    module = tf.Module()
    vector = [tf.TensorSpec([None], tf.int64, name=name) for name in ("label", "seed")]
    module.generate = tf.function(generate, input_signature=vector)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.generate})
    if classes is not None:
        (path / "assets.extra").mkdir()
        fingerprint = hashlib.sha256(str(path).encode()).hexdigest()
        about = {"classes": classes, "image_shape": image_shape, "data": "d", "fingerprint": fingerprint}
        (path / "assets.extra" / "tailgan.json").write_text(json.dumps(about))
    return path


def _export_table(path: Path, images: Sequence[np.ndarray], classes: Sequence[str] | None = None) -> Path:
    """A generator that draws from images uint8 [n, H, W, C] of each class, by the seed: n in a row are different."""
    import tensorflow as tf

    table = np.concatenate(images)
    counts = np.array([len(of_class) for of_class in images], np.int64)
    starts = np.cumsum(counts) - counts

    def generate(label, seed):
        rows = tf.gather(starts, label) + seed % tf.gather(counts, label)
        pngs = tf.map_fn(tf.io.encode_png, tf.gather(table, rows), fn_output_signature=tf.string)
        return {"image_bytes": pngs, "status": tf.fill(tf.shape(label), "ok")}

    return _export(path, generate, classes, table.shape[1:])


@pytest.fixture(scope="session")
def exports() -> SimpleNamespace:
    """Ways to make SavedModels with a generator's signature: `function` and `table`."""
    return SimpleNamespace(function=_export, table=_export_table)


@pytest.fixture(scope="session")
def digit_parts() -> dict[str, list[np.ndarray]]:
    """The scanned digits in three disjoint parts, `train`, `eval` and `unseen`: 55 images a class, [55, 8, 8, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(images))
    found: dict[str, list[np.ndarray]] = {"train": [], "eval": [], "unseen": []}
    for label in range(10):
        of_class = [image for image in images[order][data.target[order] == label]]
        different = np.stack(list({image.tobytes(): image for image in of_class}.values()))
        for part, name in enumerate(found):
            found[name].append(different[55 * part : 55 * (part + 1)])
    return found
