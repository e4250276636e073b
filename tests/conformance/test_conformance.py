"""The rows of rest.yaml and grpc.yaml, asked of the local endpoint or of any server: see README.md."""

import base64
import json
import os
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

MODEL = os.environ.get("CONFORMANCE_MODEL", "gen")
CALLS = {
    "Predict": (prediction_service_pb2_grpc.PredictionServiceStub, predict_pb2.PredictRequest),
    "Classify": (prediction_service_pb2_grpc.PredictionServiceStub, classification_pb2.ClassificationRequest),
    "Regress": (prediction_service_pb2_grpc.PredictionServiceStub, regression_pb2.RegressionRequest),
    "MultiInference": (prediction_service_pb2_grpc.PredictionServiceStub, inference_pb2.MultiInferenceRequest),
    "GetModelMetadata": (
        prediction_service_pb2_grpc.PredictionServiceStub,
        get_model_metadata_pb2.GetModelMetadataRequest,
    ),
    "GetModelStatus": (model_service_pb2_grpc.ModelServiceStub, get_model_status_pb2.GetModelStatusRequest),
    "HandleReloadConfigRequest": (
        model_service_pb2_grpc.ModelServiceStub,
        model_management_pb2.ReloadConfigRequest,
    ),
    "Check": (health_pb2_grpc.HealthStub, health_pb2.HealthCheckRequest),
}


def rows(file: str) -> list:
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    if MODEL != "gen":
        for before, after in (("/gen", f"/{MODEL}"), ('"gen"', f'"{MODEL}"'), ("model gen", f"model {MODEL}")):
            text = text.replace(before, after)
        text = text.replace("/ge%6E", f"/{MODEL}").replace("(gen,", f"({MODEL},")
    return [pytest.param(row, id=row["name"].replace(" ", "_")) for row in yaml.safe_load(text)]


def body_of(row: dict) -> bytes | None:
    if "nested" in row:
        depth = row["nested"]
        return b'{"signature_name": "one", "inputs": ' + b"[" * depth + b"]" * depth + b"}"
    if "base64" in row:
        return base64.b64decode(row["base64"])
    return row["body"].encode() if "body" in row else None


@pytest.mark.e2e
@pytest.mark.parametrize("row", rows("rest.yaml"))
def test_rest(server, row):
    method = row.get("method", "POST" if "post" in row else "GET")
    path = row["url"] if "url" in row else "/v1/models" + (row.get("post") or row.get("get"))
    answer = server.ask(method, path, body_of(row), row.get("headers"))
    assert answer.status == row["status"], answer
    if "json" in row:
        assert json.loads(answer.body) == row["json"]
    if "has" in row:
        text = json.loads(answer.body)["error"] if answer.body.startswith(b'{\n    "error"') else answer.body.decode()
        assert row["has"] in text
    if "raw" in row:
        assert answer.body.decode() == row["raw"]
    if "raw64" in row:
        assert answer.body == base64.b64decode(row["raw64"])


@pytest.fixture(scope="session")
def channel(server):
    if not server.grpc:
        pytest.skip("no gRPC server was named: CONFORMANCE_GRPC")
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


@pytest.mark.e2e
@pytest.mark.parametrize("row", rows("grpc.yaml"))
def test_grpc(channel, row):
    stub, request = CALLS[row["call"]]
    call = getattr(stub(channel), row["call"])
    asked = text_format.Parse(row["request"], request())
    if "code" in row:
        with pytest.raises(grpc.RpcError) as caught:
            call(asked, timeout=60)
        assert (caught.value.code().name, row["message"] in caught.value.details()) == (row["code"], True), caught.value
        return
    response = call(asked, timeout=60)
    if "versions" in row:
        states = get_model_status_pb2.ModelVersionStatus.State
        assert {told.version: states.Name(told.state) for told in response.model_version_status} == row["versions"]
    if "version" in row:
        assert response.model_spec.version.value == row["version"]
    if "outputs" in row:
        assert {alias: values_of(proto) for alias, proto in response.outputs.items()} == row["outputs"]
    if "signature" in row:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        signature = signatures.signature_def[row["signature"]["name"]]
        assert sorted(signature.inputs) == row["signature"]["inputs"]
        assert sorted(signature.outputs) == row["signature"]["outputs"]
    if "serving" in row:
        assert response.status == row["serving"]


def values_of(proto) -> list:
    values = np.ravel(tf.make_ndarray(proto))
    return [value.decode() for value in values] if values.dtype == object else values.tolist()
