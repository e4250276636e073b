"""Requests that TensorFlow Serving sends itself before a model is available, so that no caller pays for the first."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from models.files import move_whole
from models.signatures import GeneratorModule

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks; it takes 1000 at most
BATCH_SIZES = (1, 32)


def requests(module: GeneratorModule) -> list[PredictionLog]:
    """One request for each signature and each of `BATCH_SIZES`."""
    functions = module.functions().items()
    return [
        _request(name, function.input_signature, module, rows) for name, function in functions for rows in BATCH_SIZES
    ]


def _request(signature: str, inputs: Sequence[tf.TensorSpec], module: GeneratorModule, rows: int) -> PredictionLog:
    labels = np.arange(rows) % len(module.classes)
    columns = {
        "label": labels,
        "seed": np.arange(rows),
        "name": [module.classes[label].encode() for label in labels],
        "truncation": np.ones(rows),
        "z": np.zeros((rows, module.latent_dim)),
    }
    log = PredictionLog()
    request = log.predict_log.request
    # The model's name is left to the server, which does not read it here.
    request.model_spec.signature_name = signature
    for spec in inputs:
        request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(columns[spec.name], dtype=spec.dtype))
    return log


def write_warmup(directory: Path, module: GeneratorModule) -> None:
    """Writes the requests for a SavedModel into its directory, whole or not at all."""
    path = directory / WARMUP_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with tf.io.TFRecordWriter(str(temporary)) as out:
            for request in requests(module):
                # Maps of a message come in any order, unless asked.
                out.write(request.SerializeToString(deterministic=True))
        move_whole(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
