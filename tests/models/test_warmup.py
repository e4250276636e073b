"""The requests that a server warms up with: well-formed, and answered."""

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from models.signatures import OK, GeneratorModule
from models.warmup import BATCH_SIZES, WARMUP_FILE, write_warmup


def records(directory):
    return [PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(Path(directory) / WARMUP_FILE))]


def test_every_request_is_answered_by_the_signature_it_names(exported):
    model = tf.saved_model.load(exported)
    asked = set()
    for record in records(exported):
        request = record.predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        (rows,) = {len(column) for column in inputs.values()}
        answer = model.signatures[name](**inputs)
        assert {len(column) for column in answer.values()} == {rows}
        assert name == "filtered" or set(answer["status"].numpy()) == {OK.encode()}
        asked.add((name, rows))
    assert asked == {(name, rows) for name in model.signatures for rows in BATCH_SIZES}
    assert len(records(exported)) == len(asked) <= 1000


def test_equal_models_have_equal_requests_and_nothing_else_is_left(exported, network, image_filter, tmp_path):
    (tmp_path / WARMUP_FILE).parent.mkdir()
    write_warmup(tmp_path, GeneratorModule(network, "0123456789", image_filter))
    assert (tmp_path / WARMUP_FILE).read_bytes() == (Path(exported) / WARMUP_FILE).read_bytes()
    assert [path.name for path in (tmp_path / WARMUP_FILE).parent.iterdir()] == [Path(WARMUP_FILE).name]
