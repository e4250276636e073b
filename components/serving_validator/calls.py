"""Calling a generator that is served, over both of the server's interfaces."""

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any, Protocol

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from components.serving_validator.asking import Columns
from components.serving_validator.server import ServerFailed

_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Refused(Exception):
    """The server is there and does not answer a request as it should; the message has its words."""


class Interface(Protocol):
    """One of the two."""

    @property
    def name(self) -> str:
        """What people call it."""

    def predict(self, signature: str, columns: Mapping[str, np.ndarray]) -> Columns:
        """The outputs of a signature, by alias.

        Raises:
          Refused: with the server's words.
          ServerFailed: if it gives no answer.
        """


class Grpc:
    """PredictionService."""

    name = "gRPC"

    def __init__(self, address: str, model: str, timeout: float):
        """Takes `host:port`, the name of the model, and the seconds that a request may take."""
        self._model = model
        unbounded = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        self._channel = grpc.insecure_channel(address, options=[*unbounded, ("grpc.enable_http_proxy", 0)])
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._timeout = timeout

    def predict(self, signature: str, columns: Mapping[str, np.ndarray]) -> Columns:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._model, signature
        for alias, column in columns.items():
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(column))
        response = self._answer(self._stub.Predict, request)
        return {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}

    def signatures(self) -> dict[str, set[str]]:
        """{signature: aliases of its inputs}, as the server tells; raises as `predict` does."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        told = get_model_metadata_pb2.SignatureDefMap()
        self._answer(self._stub.GetModelMetadata, request).metadata["signature_def"].Unpack(told)
        return {name: set(signature.inputs) for name, signature in told.signature_def.items()}

    def close(self) -> None:
        self._channel.close()

    def _answer(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            told = f"{error.code().name}: {error.details()}"
            raise (ServerFailed if error.code() in _GONE else Refused)(told) from None


class Rest:
    """JSON over HTTP, in columns."""

    name = "REST"

    def __init__(self, address: str, model: str, timeout: float):
        """Takes `host:port`, the name of the model, and the seconds that a request may take."""
        self._model = model
        self._connection = http.client.HTTPConnection(address, timeout=timeout)

    def predict(self, signature: str, columns: Mapping[str, np.ndarray]) -> Columns:
        inputs = {alias: _values(column) for alias, column in columns.items()}
        body = json.dumps({"signature_name": signature, "inputs": inputs})
        try:
            self._connection.request("POST", f"/v1/models/{self._model}:predict", body)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ServerFailed(f"no answer: {error!r}") from None
        try:
            answer = json.loads(text)
            if response.status != 200:
                raise Refused(f"{response.status}: {answer['error']}")
            return {alias: _column(values) for alias, values in answer["outputs"].items()}
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Refused(f"{response.status}, with a body that is no answer: {text[:200]!r}") from None

    def close(self) -> None:
        self._connection.close()


def _values(column: np.ndarray) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in column.tolist()]


def _column(values: list[Any]) -> np.ndarray:
    """Strings as bytes, whether they came as text or in base64; numbers as they are."""
    if values and isinstance(values[0], str | dict):
        return np.array([v.encode() if isinstance(v, str) else base64.b64decode(v["b64"]) for v in values], object)
    return np.array(values)
