"""A trained generator as a SavedModel that a stock TensorFlow Serving takes; models/generator.py is the way back."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.dataset import DatasetInfo
from models.files import write_whole
from models.signatures import MAX_TRUNCATION, Filter, GeneratorModule
from models.versions import METADATA_FILE
from models.warmup import write_warmup


def export_generator(
    generator: keras.Model,
    path: str,
    info: DatasetInfo,
    training: Mapping[str, Any],
    image_filter: Filter | None = None,
) -> None:
    """Writes a SavedModel with the signatures of `models.signatures`, a warm-up, and `assets.extra/tailgan.json`.

    The JSON holds
      `classes`, `image_shape` and `latent_dim`;
      `signatures`: {name: {input: what a row of it may be, in the words of JSON Schema}};
      `filter`: `candidates`, `threshold` and the helper's `accuracy`; null where there is none;
      `data`: the fingerprint of the data;
      `training`: `steps`; `directory`, the name of that of its checkpoints; `start`, the name of that of the training
        it went on from, null if none; `anew`, why it went on from none although it was to;
      `fingerprint`: of all that answers depend on.

    Args:
      generator: as `models.networks.build_networks` makes it.
      path: directory of the SavedModel.
      info: of the data it was trained on.
      training: what is written down of the training.
      image_filter: of the signature `filtered`; without it, there is none.
    """
    module = GeneratorModule(generator, info.classes, image_filter)
    tf.saved_model.save(module, path, signatures=module.functions())
    metadata = {
        "classes": info.classes,
        "image_shape": info.image_shape,
        "latent_dim": module.latent_dim,
        "signatures": _inputs(module),
        "filter": image_filter
        and {
            "candidates": image_filter.candidates,
            "threshold": image_filter.threshold,
            "accuracy": image_filter.accuracy,
        },
        "data": info.fingerprint,
        "training": training,
        "fingerprint": _fingerprint(generator, module),
    }
    file = Path(path) / METADATA_FILE
    file.parent.mkdir(exist_ok=True)
    write_warmup(Path(path), module)
    write_whole(file, json.dumps(metadata, indent=2, allow_nan=False))


def _inputs(module: GeneratorModule) -> dict[str, dict[str, Any]]:
    """What each signature takes: {signature: {input: JSON Schema of one row}}."""
    allowed = {
        "label": {"type": "integer", "minimum": 0, "maximum": len(module.classes) - 1},
        "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        "name": {"enum": list(module.classes)},
        "truncation": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TRUNCATION},
        "z": {
            "type": "array", "items": {"type": "number"}, "minItems": module.latent_dim, "maxItems": module.latent_dim
        },
    }  # fmt: skip
    return {
        name: {spec.name: allowed[spec.name] for spec in function.input_signature}
        for name, function in module.functions().items()
    }


def _fingerprint(generator: keras.Model, module: GeneratorModule) -> str:
    """Hex digest over what decides the answers: class names, signatures, weights, and the filter if there is one."""
    described: list[Any] = [list(module.classes), _inputs(module)]
    weights = generator.get_weights()
    if module.filter:
        described += [module.filter.candidates, module.filter.threshold]
        weights += module.filter.helper.get_weights()
    digest = hashlib.sha256(json.dumps(described).encode())
    for weight in weights:
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()
