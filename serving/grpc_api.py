"""TensorFlow Serving's gRPC interface: PredictionService, ModelService and health."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import grpc
import numpy as np
from google.protobuf import any_pb2
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
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.config import models_of
from serving.errors import ServingError, invalid, shortened
from serving.model import DEFAULT_SIGNATURE
from serving.predictor import Predictor, refused_examples
from serving.tensor_proto import from_proto, size_of, to_proto

MAX_MESSAGE = 1024  # bytes of an error's text, as TensorFlow Serving cuts it
_SMALL = 2**15


def _asked(spec: ModelSpec) -> dict[str, Any]:
    """Number and label that a request asks for."""
    choice = spec.WhichOneof("version_choice")
    return {
        "number": spec.version.value if choice == "version" else None,
        "label": spec.version_label if choice == "version_label" else None,
    }


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; Classify, Regress and MultiInference are refused."""

    def __init__(self, predictor: Predictor, max_bytes: int):
        self._predictor = predictor
        self._max_bytes = max_bytes

    async def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:
        start = time.perf_counter()
        name = request.model_spec.name
        code = "CANCELLED"  # if the caller gives up
        try:
            response = await self._predict(request)
            code = "OK"
            return response
        except ServingError as error:
            code = error.code
            await _abort(context, error)
            raise
        finally:
            known = name if self._predictor.versions.knows(name) else ""
            self._predictor.metrics.request_count.add(known, code)
            self._predictor.metrics.request_latency.observe(time.perf_counter() - start, known, "predict", "GRPC")

    async def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        with self._used(request) as version:
            assert version.model is not None, "a version that was taken is loaded"
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = version.model.signature(name)
            inputs = await self._inputs(request)
            outputs = await self._predictor.run(
                request.model_spec.name, version, signature, inputs, request.output_filter
            )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = name
        large = sum(array.size for array in outputs.values()) > _SMALL
        for alias, array in outputs.items():
            proto = await asyncio.to_thread(to_proto, array) if large else to_proto(array)
            response.outputs[alias].CopyFrom(proto)
        return response

    async def _inputs(self, request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
        size = sum(size_of(proto) for proto in request.inputs.values())
        if size > self._max_bytes:
            raise invalid(f"{size} bytes of inputs: at most {self._max_bytes} (--max_body_bytes)")

        def inputs() -> dict[str, np.ndarray]:
            return {alias: from_proto(alias, proto) for alias, proto in request.inputs.items()}

        return await asyncio.to_thread(inputs) if max(size, request.ByteSize()) > _SMALL else inputs()

    def _used(self, request: Any):
        """The version that a request asks for, held while the context lasts."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.model_spec.name:
            raise invalid("ModelSpec has no name specified.")
        return self._predictor.versions.use(request.model_spec.name, **_asked(request.model_spec))

    async def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Any
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        return await _answered_or_aborted(context, self._metadata(request))

    async def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._used(request) as version:
            assert version.model is not None, "a version that was taken is loaded"
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in version.model.signature_defs.items():
                signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response.metadata["signature_def"].CopyFrom(packed)
        return response

    async def Classify(self, request: classification_pb2.ClassificationRequest, context: Any) -> None:
        return await _answered_or_aborted(context, self._refuse_examples(request, "classify"))

    async def Regress(self, request: regression_pb2.RegressionRequest, context: Any) -> None:
        return await _answered_or_aborted(context, self._refuse_examples(request, "regress"))

    async def _refuse_examples(self, request: Any, verb: str) -> None:
        with self._used(request) as version:
            assert version.model is not None, "a version that was taken is loaded"
            signature = version.model.signature(request.model_spec.signature_name)
        raise refused_examples(signature, verb)

    async def MultiInference(self, request: inference_pb2.MultiInferenceRequest, context: Any) -> None:
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        error = invalid("ModelSpec has no name specified.")
        if spec.name:
            error = ServingError("UNIMPLEMENTED", "MultiInference is not served: use Predict")
        await _abort(context, error)


class Models(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, predictor: Predictor):
        self._versions = predictor.versions

    async def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Any
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return await _answered_or_aborted(context, self._status(request))

    async def _status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        # Labels are not looked at, as TensorFlow Serving does not.
        for number, state, error in self._versions.status(
            request.model_spec.name, _asked(request.model_spec)["number"]
        ):
            told = response.model_version_status.add(version=number, state=states.Value(state))
            told.status.error_code = _number(error.code) if error else 0
            told.status.error_message = error.message if error else ""
        return response

    async def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest, context: Any
    ) -> model_management_pb2.ReloadConfigResponse:
        return await _answered_or_aborted(context, self._reload(request))

    async def _reload(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        await asyncio.to_thread(self._versions.reload, models_of(request.config))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response


class Health(health_pb2_grpc.HealthServicer):
    """SERVING when every model has a version that is served; only the server as a whole has a health."""

    def __init__(self, predictor: Predictor):
        self._versions = predictor.versions

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        if request.service:
            await _abort(context, ServingError("NOT_FOUND", "service name unknown"))
        states = health_pb2.HealthCheckResponse
        return states(status=states.SERVING if self._versions.ready() else states.NOT_SERVING)


def server(predictor: Predictor, max_body_bytes: int) -> grpc.aio.Server:
    """A server without a port."""
    made = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a port that is in use is an error
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(predictor, max_body_bytes), made)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(predictor), made)
    health_pb2_grpc.add_HealthServicer_to_server(Health(predictor), made)
    return made


def _number(code: str) -> int:
    return grpc.StatusCode[code].value[0]


async def _answered_or_aborted(context: Any, answer: Awaitable) -> Any:
    try:
        return await answer
    except ServingError as error:
        await _abort(context, error)


async def _abort(context: Any, error: ServingError) -> None:
    await context.abort(grpc.StatusCode[error.code], shortened(error.message, MAX_MESSAGE))
