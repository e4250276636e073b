"""One version of a model: a SavedModel in a session of its own, as TensorFlow Serving runs it.

The graph is run, not the objects that `tf.saved_model.load` would make of it: so what is answered here, errors
included, is what TensorFlow Serving answers, shapes are not checked against the signature, and closing the session
frees it all.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.errors import HTTP_STATUS, ServingError, invalid
from serving.tensor_proto import from_proto

DEFAULT_SIGNATURE = "serving_default"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_WARMUP_RECORDS = 1000
# What TensorFlow calls otherwise than Python does.
_DTYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
_CODES = {code: name for name, code in vars(tf.errors).items() if name in HTTP_STATUS}
tf.get_logger().setLevel("ERROR")  # it would call the loader of sessions deprecated


@dataclass(frozen=True, eq=False)  # that of another version is another one
class Signature:
    """What can be asked: {alias: name of the tensor} of inputs and outputs, and the inputs' {alias: data type}."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    dtypes: Mapping[str, str]


class Model:
    """A loaded SavedModel.

    Attributes:
      signature_defs: {name: SignatureDef}, as saved.
      signatures: the same, made light.
    """

    def __init__(self, path: Path, timeout_ms: int = 0):
        """Loads it.

        Args:
          path: of the SavedModel.
          timeout_ms: a run that takes longer is ended; 0 means none is.

        Raises:
          ServingError: if there is none, or it is damaged.
        """
        if not (path / "saved_model.pb").is_file() and not (path / "saved_model.pbtxt").is_file():
            raise ServingError(
                "NOT_FOUND",
                "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
                f"`saved_model.pb`)\nSpecified file path: {path}",
            )
        self._run_options = config_pb2.RunOptions(timeout_in_ms=timeout_ms)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default():
                loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        except tf.errors.OpError as error:
            self._session.close()
            raise _translated(error) from None
        except Exception as error:  # whatever a damaged file makes TensorFlow's Python raise
            self._session.close()
            raise ServingError("DATA_LOSS", f"{path}: {type(error).__name__}: {error}") from None
        self.signature_defs = dict(loaded.signature_def)
        self.signatures = {name: _signature(definition) for name, definition in self.signature_defs.items()}
        self._callables: dict[tuple, object] = {}
        self._lock = threading.Lock()

    def signature(self, name: str) -> Signature:
        """The signature of that name; of an empty name, the default one.

        Raises:
          ServingError: if there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def run(self, signature: Signature, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Values of the outputs of these aliases; safe to call from several threads.

        Raises:
          ServingError: with the model's own words.
        """
        aliases = tuple(signature.inputs)
        call = self._callable(
            tuple(signature.inputs[alias] for alias in aliases), tuple(signature.outputs[alias] for alias in outputs)
        )
        try:
            return [_array(output) for output in call(*(inputs[alias] for alias in aliases))]
        except tf.errors.OpError as error:
            raise _translated(error) from None
        except UnicodeDecodeError as error:  # the model's words quote bytes, and Python gets no OpError of them
            raise invalid(error.object.decode("latin-1")) from None

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]):
        with self._lock:
            found = self._callables.get((feeds, fetches))
            if found is None:
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches, run_options=self._run_options)
                # `Session.run` would refuse shapes that the C++ session, and so TensorFlow Serving, takes.
                found = self._session._make_callable_from_options(options)
                self._callables[feeds, fetches] = found
            return found

    def warm_up(self, path: Path) -> float:
        """Runs the recorded requests of `assets.extra/tf_serving_warmup_requests`, if any; returns the seconds it took.

        Raises:
          ServingError: if the file is damaged, or the model refuses one of them.
        """
        file = path / WARMUP_FILE
        if not file.is_file():
            return 0.0
        start = time.monotonic()
        try:
            for number, record in enumerate(tf.compat.v1.io.tf_record_iterator(str(file))):
                if number == MAX_WARMUP_RECORDS:
                    raise invalid(f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS}) at {file}")
                self._replay(_predict_request(record, file))
        except tf.errors.DataLossError as error:
            raise ServingError(
                "DATA_LOSS", f"{error.message}. Please verify your warmup data is in TFRecord format."
            ) from None
        return time.monotonic() - start

    def _replay(self, request: PredictRequest) -> None:
        signature = self.signature(request.model_spec.signature_name)
        inputs = {alias: from_proto(alias, proto) for alias, proto in request.inputs.items()}
        self.run(signature, checked_inputs(signature, inputs), checked_outputs(signature, request.output_filter))

    def close(self) -> None:
        """Frees it; nothing runs any more."""
        self._callables.clear()
        self._session.close()


def checked_inputs(signature: Signature, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The inputs, if they are those of the signature.

    Raises:
      ServingError: if one is missing, one too many, or of another type.
    """
    sent, wanted = sorted(inputs), sorted(signature.inputs)
    if len(sent) != len(wanted):
        extra, missing = sorted(set(sent) - set(wanted)), sorted(set(wanted) - set(sent))
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{','.join(sent)}}}) != "
            f"len({{{','.join(wanted)}}}). Sent extra: {{{','.join(extra)}}}. Missing but required: "
            f"{{{','.join(missing)}}}."
        )
    for alias in wanted:
        if alias not in inputs:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias]}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {{{','.join(sent)}}}, or default input "
                "alias set: "
            )
    for position, alias in enumerate(wanted):
        given = _given_dtype(inputs[alias].dtype)
        if given != signature.dtypes[alias]:
            raise invalid(f"Expects arg[{position}] to be {signature.dtypes[alias]} but {given} is provided")
    return inputs


def checked_outputs(signature: Signature, wanted: Sequence[str]) -> tuple[str, ...]:
    """Aliases of the outputs to compute: those wanted, or all; in one order, so that each set is compiled once.

    Raises:
      ServingError: if the signature has no such output, or one is named twice.
    """
    for i, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{','.join(sorted(signature.outputs))}}}."
            )
        if alias in wanted[:i]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return tuple(alias for alias in signature.outputs if not wanted or alias in wanted)


def _array(output: object) -> np.ndarray:
    """An output as TensorFlow gives it: a scalar text is plain bytes, of which numpy alone would make another type."""
    return np.array(output, object) if isinstance(output, bytes) else np.asarray(output)


@cache
def _given_dtype(dtype: np.dtype) -> str:
    return "string" if dtype.kind == "O" else _DTYPE_NAMES.get(dtype.name, dtype.name)


def _signature(definition: meta_graph_pb2.SignatureDef) -> Signature:
    return Signature(
        inputs={alias: info.name for alias, info in definition.inputs.items()},
        outputs={alias: info.name for alias, info in definition.outputs.items()},
        dtypes={alias: _dtype_name(info.dtype) for alias, info in definition.inputs.items()},
    )


def _dtype_name(dtype: int) -> str:
    name = tf.as_dtype(dtype).name if dtype else "INVALID"
    return _DTYPE_NAMES.get(name, name)


def _translated(error: tf.errors.OpError) -> ServingError:
    return ServingError(_CODES.get(error.error_code, "UNKNOWN"), error.message)


def _predict_request(record: bytes, file: Path) -> PredictRequest:
    try:
        log = PredictionLog.FromString(record)
    except Exception:  # protobuf's DecodeError, which its implementations define each in its own place
        raise invalid(f"Failed to parse warmup record: {record[:80]!r} from {file}") from None
    if log.WhichOneof("log_type") != "predict_log":
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {log.WhichOneof('log_type')} in {file}")
    return log.predict_log.request
