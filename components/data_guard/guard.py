"""Reads the anomalies that TFX's ExampleValidator found, and stops the run where there are any."""

import logging
import os
from collections.abc import Iterator

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.types import Artifact, artifact_utils

from models.errors import UserError

Severity = anomalies_pb2.AnomalyInfo.Severity

log = logging.getLogger("tailgan")


def describe(anomalies: anomalies_pb2.Anomalies) -> Iterator[tuple[int, str]]:
    """(severity, text) of each anomaly, those of single features in order of their names."""
    if anomalies.data_missing:
        yield Severity.ERROR, "it has no examples"
    if anomalies.HasField("dataset_anomaly_info"):
        yield anomalies.dataset_anomaly_info.severity, _text(anomalies.dataset_anomaly_info)
    for feature, info in sorted(anomalies.anomaly_info.items()):
        yield info.severity, f"feature `{feature}`: {_text(info)}"


def _text(info: anomalies_pb2.AnomalyInfo) -> str:
    """The kind of an anomaly and what was found, such as `Out-of-range values: Unexpectedly large value: 4.`"""
    return f"{info.short_description}: {info.description}"


def check(artifact: Artifact) -> None:
    """Holds the data to their schema.

    Anomalies to which the schema gives the severity of a warning are logged, and no more.

    Args:
      artifact: ExampleAnomalies, a `SchemaDiff.pb` in each split.

    Raises:
      UserError: with split, feature and reason of every other anomaly.
    """
    errors = []
    for split in artifact_utils.decode_split_names(artifact.split_names):
        path = os.path.join(artifact_utils.get_split_uri([artifact], split), DEFAULT_FILE_NAME)
        with tf.io.gfile.GFile(path, "rb") as file:
            anomalies = anomalies_pb2.Anomalies.FromString(file.read())
        for severity, text in describe(anomalies):
            if severity == Severity.WARNING:
                log.warning("split `%s`: %s", split, text)
            else:
                errors.append(f"split `{split}`: {text}")
    if errors:
        raise UserError("the data break their schema:\n" + "\n".join(f"  {error}" for error in errors))
