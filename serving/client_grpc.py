"""The gRPC side of the client."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from serving.client import Signature, Tensor, tensor
from serving.errors import ServingError
from serving.tensor_proto import from_proto, to_proto


class Grpc:
    """One channel."""

    def __init__(self, address: str):
        """Takes host:port; connects to nothing yet."""
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_retries", 0),  # attempts are the client's business
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        self._channel = grpc.insecure_channel(address, options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def close(self) -> None:
        """Frees the channel."""
        self._channel.close()

    def signatures(self, model: str, seconds: float) -> dict[str, Signature]:
        """Signatures of a model, by name.

        Raises:
          ServingError: if it is not served, or nobody answers.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = model
        response = _asked(self._stub.GetModelMetadata, request, seconds)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(definitions)
        return {
            name: Signature(
                *({a: _tensor(t) for a, t in side.items()} for side in (definition.inputs, definition.outputs))
            )
            for name, definition in definitions.signature_def.items()
            if not name.startswith("__")  # TensorFlow's own, for its bookkeeping
        }

    def predict(
        self, model: str, name: str, signature: Signature, inputs: Mapping[str, np.ndarray], seconds: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature.

        Raises:
          ServingError: if the server refuses, or nobody answers.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = name
        for alias, array in inputs.items():
            request.inputs[alias].CopyFrom(to_proto(array))
        response = _asked(self._stub.Predict, request, seconds)
        if missing := signature.outputs.keys() - response.outputs.keys():
            raise ServingError("INTERNAL", f"the answer does not fit the signature {name}: no {', '.join(missing)}")
        return {alias: from_proto(alias, proto) for alias, proto in response.outputs.items()}


def _asked(call: Callable, request: Any, seconds: float) -> Any:
    try:
        return call(request, timeout=seconds)
    except grpc.RpcError as error:
        raise ServingError(error.code().name, error.details() or error.code().name) from None


def _tensor(info: Any) -> Tensor:
    shape = info.tensor_shape
    return tensor(DataType.Name(info.dtype), None if shape.unknown_rank else [dim.size for dim in shape.dim])
