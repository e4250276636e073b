"""The guard behind TFX's own StatisticsGen and ExampleValidator, on real data that fit or break a schema."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_data_validation.anomalies.proto import custom_validation_config_pb2
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components import examples
from components.data_guard import guard
from models.errors import UserError

FEATURES = """
feature { name: "image" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "id" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
"""
LABEL = """feature { name: "label" type: INT presence { min_fraction: 1.0 } shape { dim { size: 1 } } %s }"""


def artifact_at(kind, uri):
    artifact = kind()
    artifact.uri = str(uri)
    return artifact


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """What StatisticsGen makes of 20 images of labels 0..4 in train, and 5 in eval."""
    root = tmp_path_factory.mktemp("statistics")
    data = artifact_at(standard_artifacts.Examples, root / "examples")
    examples.describe(data)
    png = tf.io.encode_png(np.zeros((2, 2, 1), np.uint8)).numpy()
    for split, count in (("train", 20), ("eval", 5)):
        with examples.writer(os.path.join(examples.split_dir(data.uri, split), examples.shard_name(0, 1))) as out:
            for i in range(count):
                out.write(examples.serialize(png, i % 5, f"{split}{i}".encode()))
    result = artifact_at(standard_artifacts.ExampleStatistics, root / "statistics")
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=DirectRunner"], tmp_dir=str(root / "tmp"), unique_id="1"
    )
    statistics_gen.Executor(context).Do({"examples": [data]}, {"statistics": [result]}, {"exclude_splits": "[]"})
    return result


@pytest.fixture
def validate(statistics, tmp_path):
    """Runs ExampleValidator against a schema in text form."""

    def run(text, **options):
        schema = artifact_at(standard_artifacts.Schema, tmp_path / "schema")
        os.makedirs(schema.uri)
        Path(schema.uri, "schema.pbtxt").write_text(text)
        anomalies = artifact_at(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies")
        example_validator.Executor().Do(
            {"statistics": [statistics], "schema": [schema]},
            {"anomalies": [anomalies]},
            {"exclude_splits": "[]", **options},
        )
        return anomalies

    return run


def test_data_that_fit_the_schema_pass(validate):
    assert guard.check(validate(FEATURES + LABEL % "int_domain { min: 0 max: 4 }")) is None


def test_a_value_outside_its_domain_stops_the_run_and_is_explained(validate):
    anomalies = validate(FEATURES + LABEL % "int_domain { min: 0 max: 2 }")
    with pytest.raises(UserError) as error:
        guard.check(anomalies)
    lines = str(error.value).splitlines()
    assert lines[0] == "the data break their schema:"
    assert [line.partition(": ")[0].strip() for line in lines[1:]] == ["split `train`", "split `eval`"]
    assert all("feature `label`: " in line and "large value: 4" in line for line in lines[1:]), lines


def test_every_missing_feature_is_named(validate):
    anomalies = validate(
        FEATURES + LABEL % "" + 'feature { name: "mask" type: BYTES presence { min_fraction: 1.0 min_count: 1 } }'
    )
    with pytest.raises(UserError, match=r"feature `mask`: .*(?s:.)*split `eval`: feature `mask`: "):
        guard.check(anomalies)


def test_another_shape_stops_the_run(validate):
    with pytest.raises(UserError, match="feature `label`"):
        guard.check(validate(FEATURES + LABEL.replace("size: 1", "size: 2") % ""))


def test_a_warning_is_logged_and_passes(validate, caplog):
    config = custom_validation_config_pb2.CustomValidationConfig()
    text_format.Parse(
        """feature_validations {
          feature_path { step: "label" }
          validations { sql_expression: "feature.num_stats.max > 8" severity: WARNING description: "few labels" }
        }""",
        config,
    )
    anomalies = validate(FEATURES + LABEL % "", custom_validation_config=config)
    with caplog.at_level(logging.WARNING, "tailgan"):
        guard.check(anomalies)
    assert [record.getMessage().partition(": Custom")[0] for record in caplog.records] == [
        "split `train`: feature `label`: few labels",
        "split `eval`: feature `label`: few labels",
    ]
