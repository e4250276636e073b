"""TensorFlow Serving's REST interface: https://www.tensorflow.org/tfx/serving/api_rest, and what it leaves unsaid."""

import asyncio
import gzip
import io
import json
import logging
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serving import json_answers, json_parse, json_tensors
from serving.errors import ServingError, invalid, shortened
from serving.model import DEFAULT_SIGNATURE
from serving.predictor import Predictor, refused_examples

logger = logging.getLogger("serving")
_MODEL = r"(?i)/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_ASKED = re.compile(_MODEL + r":(?P<verb>classify|regress|predict)")
_TOLD = re.compile(_MODEL + r"(?:/(?P<part>metadata))?")
# Work on bodies beyond this many bytes is done on a thread, so that other requests are not kept waiting.
_SMALL = 2**15
_MAX_MESSAGE = 2 * json_parse.MAX_SHOWN  # bytes of an error's text


class Rest:
    """Answers requests below `/v1/`."""

    def __init__(self, predictor: Predictor, timeout: float, max_body_bytes: int):
        """Takes what runs models, the seconds a request may take, and the most bytes of a body."""
        self._predictor = predictor
        self._timeout = timeout
        self._max_body_bytes = max_body_bytes

    async def answer(self, request: Request) -> Response:
        """Answers one request, whatever its method and path."""
        start = time.perf_counter()
        path = _path_of(request)
        if request.method == "OPTIONS":
            asked = {"origin", "access-control-request-method"} <= set(request.headers)
            return _plain(b"", 200 if asked else 400, "text/html; charset=ISO-8859-1")
        name = verb = ""
        try:
            match, name, version, label = _matched(request.method, path)
            verb = match.groupdict().get("verb") or ""
            async with asyncio.timeout(self._timeout):
                if verb:
                    body = await self._body(request)
                    act = self._predict if verb == "predict" else self._classify_or_regress
                    answer = await act(body, name, version, label, verb)
                elif match["part"]:
                    answer = self._metadata(name, version, label)
                else:
                    answer = self._status(name, version)
            response, code = _json(answer), "OK"
        except TimeoutError:
            response, code = _refusal(ServingError("DEADLINE_EXCEEDED", "Timed out waiting for notification"))
        except ServingError as error:
            response, code = _refusal(error)
        except _TooLarge as error:
            response, code = _json(json_answers.error_json(str(error)), 413), "RESOURCE_EXHAUSTED"
            response.headers["connection"] = "close"
        except ClientDisconnect:
            response, code = _refusal(ServingError("CANCELLED", "The client has gone"))
        except Exception as error:
            logger.exception("%s %s", request.method, path[:200])
            response, code = _refusal(ServingError("INTERNAL", f"{type(error).__name__}: {error}"))
        known = name if self._predictor.versions.knows(name) else ""  # names that nobody knows are without number
        if verb == "predict":
            self._predictor.metrics.request_count.add(known, code)
        self._predictor.metrics.request_latency.observe(time.perf_counter() - start, known, verb, "REST")
        return response

    async def _body(self, request: Request) -> bytes:
        """The body of a request, unpacked.

        Raises:
          _TooLarge: if it is.
        """
        limit = self._max_body_bytes
        chunks, size = [], 0
        if int(request.headers.get("content-length", 0)) > limit and "expect" in request.headers:
            raise _TooLarge(limit)  # this client asks before it sends
        async for chunk in request.stream():  # to the end: others listen only then, and would not hear a refusal
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                chunks.clear()
        if size > limit:
            raise _TooLarge(limit)
        body = b"".join(chunks)
        if request.headers.get("content-encoding", "").lower() == "gzip":
            try:
                with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                    body = await asyncio.to_thread(file.read, limit + 1)
            except (OSError, EOFError, zlib.error):
                return b""
            if len(body) > limit:
                raise _TooLarge(limit)
        return body

    async def _predict(self, body: bytes, name: str, number: int | None, label: str | None, verb: str) -> bytes:
        document, signature_name = await _on_thread_if(len(body) > _SMALL, _parsed, body, verb)
        with self._predictor.versions.use(name, number, label) as version:
            assert version.model is not None, "a version that was taken is loaded"
            signature = version.model.signatures.get(signature_name or DEFAULT_SIGNATURE)
            if signature is None:
                wanted = signature_name or DEFAULT_SIGNATURE
                raise invalid(f'Serving signature name: "{wanted}" not found in signature def')
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {signature_name or 'DEFAULT'}")
            inputs, by_row = await _on_thread_if(
                len(body) > _SMALL, json_tensors.inputs_of, document, signature.dtypes, self._predictor.max_rows
            )
            outputs = await self._predictor.run(name, version, signature, inputs)
        large = sum(array.size for array in outputs.values()) > _SMALL // 16
        return await _on_thread_if(large, json_answers.answer, outputs, by_row)

    async def _classify_or_regress(
        self, body: bytes, name: str, number: int | None, label: str | None, verb: str
    ) -> bytes:
        _, signature_name = await _on_thread_if(len(body) > _SMALL, _parsed, body, verb)
        with self._predictor.versions.use(name, number, label) as version:
            assert version.model is not None, "a version that was taken is loaded"
            signature = version.model.signature(signature_name)
        raise refused_examples(signature, verb)

    def _status(self, name: str, number: int | None) -> bytes:
        told = []
        for known, state, error in self._predictor.versions.status(name, number):
            fault = {"error_code": error.code if error else "OK", "error_message": error.message if error else ""}
            told.append({"version": str(known), "state": state, "status": fault})
        return _indented({"model_version_status": told})

    def _metadata(self, name: str, number: int | None, label: str | None) -> bytes:
        with self._predictor.versions.use(name, number, label) as version:
            assert version.model is not None, "a version that was taken is loaded"
            definitions = version.model.signature_defs
            served = version.number
        signatures = {key: _signature_json(definition) for key, definition in definitions.items()}
        spec = {"name": name, "signature_name": "", "version": str(served)}
        return b'{\n"model_spec":%s,\n"metadata": {"signature_def": %s}\n}\n' % (
            _indented(spec),
            _indented({"signature_def": signatures}),
        )


def _parsed(body: bytes, verb: str) -> tuple[dict, str]:
    """The document of a request, and the name of the signature that it asks for."""
    document = json_parse.parse(body)
    signature_name = json_tensors.signature_name(document)
    if verb != "predict" and "examples" not in document:
        raise invalid(
            f"JSON Value: {json_parse.show(document)} When method is classify, key 'examples' is expected and was not "
            "found"
        )
    return document, signature_name


class _TooLarge(Exception):
    def __init__(self, limit: int):
        super().__init__(f"The body has more than {limit} bytes, which is the limit (--max_body_bytes)")


def app(rest: Rest, metrics: tuple[str, Callable[[], str]] | None, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application.

    Args:
      rest: what answers below `/v1/`.
      metrics: path and text of the metrics, if they are wanted.
      routes: what is answered elsewhere.
    """
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    all_routes = [*routes, Route("/v1/{path:path}", rest.answer, methods=methods)]
    if metrics:
        path, text = metrics

        async def show(request: Request) -> Response:
            asked = _path_of(request)
            if asked != path:
                return _plain(f"Unexpected path: {asked}. Should be {path}", 400, "text/plain")
            return _plain(text(), 200, "text/plain")

        all_routes.append(Route(path, show))
    made = Starlette(routes=all_routes, exception_handlers={404: _html_error, 405: _html_error})
    made.router.redirect_slashes = False
    return made


async def _html_error(request: Request, error: Exception) -> Response:
    """What TensorFlow Serving's HTTP library says outside `/v1/`."""
    status, text = (501, "Not Implemented") if request.method == "TRACE" else (404, "Not Found")
    page = f"<HTML><HEAD>\n<TITLE>{status} {text}</TITLE>\n</HEAD><BODY>\n<H1>{text}</H1>\n</BODY></HTML>\n"
    return _plain(page, status, "text/html")


def _plain(body: str | bytes, status: int, content_type: str) -> Response:
    """A response with just that Content-Type: Starlette would add a character set."""
    return Response(body, status, {"content-type": content_type})


def _path_of(request: Request) -> str:
    """The path as it was sent, with its query: TensorFlow Serving knows no queries."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _matched(method: str, path: str) -> tuple[re.Match[str], str, int | None, str | None]:
    """What a request is about: its parts, and the model's name, version and label.

    Raises:
      ServingError: if it is about nothing.
    """
    pattern: re.Pattern[str] | None = {"POST": _ASKED, "GET": _TOLD}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None or (method == "POST" and (not match["name"] or match["verb"] != match["verb"].lower())):
        raise invalid(f"Malformed request: {method} {path}")
    if not match["name"]:
        raise invalid("Missing model name in request.")
    digits = match["version"]
    if digits and (len(digits) > len(str(2**63)) or int(digits) >= 2**63):
        raise invalid("")  # so says TensorFlow Serving: nothing
    version = int(digits) if digits else None
    return match, unquote(match["name"]), version, unquote(match["label"]) if match["label"] else None


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _refusal(error: ServingError) -> tuple[Response, str]:
    body = json_answers.error_json(shortened(error.message, _MAX_MESSAGE)) if error.message else b""
    return _json(body, error.http_status), error.code


def _indented(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def _signature_json(definition: Any) -> dict:
    from tensorflow.core.framework.types_pb2 import DataType

    def tensors(infos: Mapping[str, Any]) -> dict:
        return {
            alias: {
                "dtype": DataType.Name(info.dtype),
                "tensor_shape": {
                    "dim": [{"size": str(dim.size), "name": dim.name} for dim in info.tensor_shape.dim],
                    "unknown_rank": info.tensor_shape.unknown_rank,
                },
                "name": info.name,
            }
            for alias, info in infos.items()
        }

    return {
        "inputs": tensors(definition.inputs),
        "outputs": tensors(definition.outputs),
        "method_name": definition.method_name,
        "defaults": {},
    }


async def _on_thread_if(large: bool, call: Callable, *args: object) -> Any:
    return await asyncio.to_thread(call, *args) if large else call(*args)
