"""The REST side of the client, without TensorFlow."""

import base64
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from serving.client import Signature, Tensor, tensor
from serving.errors import ServingError

CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CHUNK = 2**16


class Rest:
    """One connection, made anew when it was lost."""

    def __init__(self, scheme: str, host: str, port: int):
        """Connects to nothing yet."""
        if scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host.strip("[]"), port, context=ssl.create_default_context()
            )
        else:
            self._connection = http.client.HTTPConnection(host.strip("[]"), port)

    def close(self) -> None:
        """Frees the connection."""
        self._connection.close()

    def signatures(self, model: str, seconds: float) -> dict[str, Signature]:
        """Signatures of a model, by name.

        Raises:
          ServingError: if it is not served, or nobody answers.
        """
        answer = self._ask("GET", f"/v1/models/{quote(model, safe='')}/metadata", None, seconds)
        try:
            definitions = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(
                    *({a: _tensor(t) for a, t in definition[side].items()} for side in ("inputs", "outputs"))
                )
                for name, definition in definitions.items()
                if not name.startswith("__")  # TensorFlow's own, for its bookkeeping
            }
        except (LookupError, TypeError, AttributeError, ValueError):
            raise ServingError("INTERNAL", "the metadata are not those of TensorFlow Serving") from None

    def predict(
        self, model: str, name: str, signature: Signature, inputs: Mapping[str, np.ndarray], seconds: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature.

        Raises:
          ServingError: if the server refuses, or nobody answers.
        """
        body = {"signature_name": name, "inputs": {alias: _to_json(array) for alias, array in inputs.items()}}
        answer = self._ask("POST", f"/v1/models/{quote(model, safe='')}:predict", json.dumps(body).encode(), seconds)
        try:
            outputs = answer["outputs"]
            if len(signature.outputs) == 1:  # one output has no name in the answer
                outputs = dict.fromkeys(signature.outputs, outputs)
            return {alias: _from_json(outputs[alias], kind) for alias, kind in signature.outputs.items()}
        except (LookupError, TypeError, ValueError) as error:
            raise ServingError("INTERNAL", f"the answer does not fit the signature {name}: {error!r}") from None

    def _ask(self, method: str, path: str, body: bytes | None, seconds: float) -> Any:
        """The answer's JSON."""
        deadline = time.monotonic() + seconds
        connection = self._connection
        try:
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            try:
                connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            except (BrokenPipeError, ConnectionResetError):
                if connection.sock is None:
                    raise  # else there may be an answer: who refuses a body need not read it to its end
            response = connection.getresponse()
            chunks = []
            while chunk := response.read1(_CHUNK):
                chunks.append(chunk)
                if time.monotonic() > deadline:  # a socket's own limit is that of one piece
                    raise TimeoutError
            if response.length:
                raise http.client.IncompleteRead(b"".join(chunks), response.length)
            response.close()  # `read1` leaves it open, and the connection in use
        except TimeoutError:
            connection.close()
            raise ServingError("DEADLINE_EXCEEDED", f"no whole answer within {seconds:.3g} s") from None
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise ServingError("UNAUTHENTICATED", f"{error.verify_message}") from None
        except (OSError, http.client.IncompleteRead) as error:
            connection.close()
            raise ServingError("UNAVAILABLE", str(error) or type(error).__name__) from None
        except http.client.HTTPException as error:
            connection.close()
            raise ServingError("INTERNAL", f"the answer is no HTTP: {error!r}") from None
        text = b"".join(chunks).decode("utf-8", "surrogateescape")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if response.status != 200:
            told = answer.get("error") if isinstance(answer, dict) else None
            code = CODES.get(response.status, "UNKNOWN")
            raise ServingError(code, str(told or f"HTTP {response.status} {response.reason}: {text[:200]}".strip()))
        if answer is None:
            raise ServingError("INTERNAL", f"the answer is no JSON: {text[:200]}")
        return answer


def _tensor(info: Mapping[str, Any]) -> Tensor:
    shape = info["tensor_shape"]
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return tensor(info["dtype"], None if shape.get("unknown_rank") else sizes)


def _to_json(array: np.ndarray) -> Any:
    if array.dtype.kind != "O":
        return array.tolist()
    coded = [{"b64": base64.b64encode(text).decode()} for text in array.ravel().tolist()]
    return np.array([*coded, None], dtype=object)[:-1].reshape(array.shape).tolist()


def _from_json(value: Any, kind: Tensor) -> np.ndarray:
    array = np.array(_decoded(value) if kind.dtype == np.dtype(object) else value, kind.dtype)
    if not array.size and kind.shape:  # of no rows, JSON has no shape
        array = array.reshape([size or 0 for size in kind.shape])
    return array


def _decoded(value: Any) -> Any:
    """Nested lists of bytes."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode("utf-8", "surrogateescape")
