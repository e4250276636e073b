"""gRPC requests in this process: what is refused before it takes memory, and how many bytes a refusal has."""

import asyncio
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.batching import OneByOne
from serving.config import ModelConfig
from serving.errors import ServingError
from serving.grpc_api import Prediction
from serving.metrics import Metrics
from serving.model import Signature
from serving.predictor import Predictor
from serving.versions import Versions

SIGNATURE = Signature(inputs={"x": "x:0"}, outputs={"y": "y:0"}, dtypes={"x": "int64"})
LIMIT = 1_000_000


class Aborted(Exception):
    pass


class Context:
    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Aborted(code.name, details)


@pytest.fixture
def predict(tmp_path):
    """Asks a model `m` that gives back what it is given."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()

    def signature(name: str) -> Signature:
        if name != "serving_default":
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return SIGNATURE

    model = SimpleNamespace(
        run=lambda signature, inputs, outputs: [inputs["x"]],
        warm_up=lambda path: 0.0,
        close=lambda: None,
        signature=signature,
    )
    metrics = Metrics()
    versions = Versions({"m": ModelConfig("m", tmp_path)}, metrics, poll_seconds=1, retries=0, retry_seconds=0)
    for _ in range(2):
        versions.look(lambda path: model)
    runner = OneByOne(threads=1, max_waiting=1)
    prediction = Prediction(Predictor(versions, runner, metrics, max_rows=10), LIMIT)
    yield lambda request: asyncio.run(prediction.Predict(request, Context()))
    runner.close()


def request_of(aliases=("x",), shape=(1,), signature: str = "") -> predict_pb2.PredictRequest:
    """One value for tensors of any shape."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    for alias in aliases:
        proto = request.inputs[alias]
        proto.dtype = tf.int64.as_datatype_enum
        proto.int64_val.append(7)
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
    return request


def test_one_value_stands_for_many(predict):
    assert tf.make_ndarray(predict(request_of(shape=(3, 2))).outputs["y"]).tolist() == np.full((3, 2), 7).tolist()


@pytest.mark.parametrize(
    ("aliases", "shape"),
    [(("x",), (2**27,)), (("x",), (2**50, 2**50)), ([f"x{i}" for i in range(1000)], (10, 100))],
    ids=["many", "too_many", "many_tensors"],
)
def test_a_small_message_for_large_tensors_is_refused_before_these_are_made(predict, monkeypatch, aliases, shape):
    monkeypatch.setattr("serving.grpc_api.from_proto", lambda alias, proto: pytest.fail("made"))
    with pytest.raises(Aborted, match="bytes of inputs: at most 1000000") as caught:
        predict(request_of(aliases, shape))
    assert caught.value.args[0] == "INVALID_ARGUMENT"


def test_a_shape_of_many_dimensions_is_refused_before_these_are_multiplied(predict):
    with pytest.raises(Aborted, match="tensor parsing error: x"):
        predict(request_of(shape=(2**62,) * 1_000_000))
    with pytest.raises(Aborted, match="bytes of inputs: at most 1000000"):
        predict(request_of(shape=(2**62,) * 32))


@pytest.mark.parametrize("letter", ["a", "é", "😀"])
def test_a_refusal_has_so_few_bytes_that_its_metadata_can_be_sent(predict, letter):
    with pytest.raises(Aborted) as caught:
        predict(request_of(signature=letter * 2000))
    code, details = caught.value.args
    assert code == "FAILED_PRECONDITION"
    assert details.startswith('Serving signature key "' + letter * 200)
    assert details.endswith("...TRUNCATED")
    assert 1024 <= len(details.encode()) <= 1024 + len("...TRUNCATED")
