"""REST requests in this process: what is refused, in how many bytes, and on which thread a body is read."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest

from serving import json_parse, rest
from serving.batching import OneByOne
from serving.config import ModelConfig
from serving.metrics import Metrics
from serving.model import Signature
from serving.predictor import Predictor
from serving.versions import Versions

SIGNATURE = Signature(inputs={"x": "x:0"}, outputs={"y": "y:0"}, dtypes={"x": "int64"})
LIMIT = 10_000_000
PREDICT, CLASSIFY = "/v1/models/m:predict", "/v1/models/m:classify"


@pytest.fixture
def app(tmp_path):
    """The application, with a model `m` that gives back what it is given."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    model = SimpleNamespace(
        run=lambda signature, inputs, outputs: [inputs["x"]],
        warm_up=lambda path: 0.0,
        close=lambda: None,
        signatures={"serving_default": SIGNATURE},
        signature=lambda name: SIGNATURE,
    )
    metrics = Metrics()
    versions = Versions({"m": ModelConfig("m", tmp_path)}, metrics, poll_seconds=1, retries=0, retry_seconds=0)
    for _ in range(2):
        versions.look(lambda path: model)
    runner = OneByOne(threads=1, max_waiting=1)
    yield rest.app(rest.Rest(Predictor(versions, runner, metrics, max_rows=10), 60, LIMIT), None)
    runner.close()


def ask(app, method: str, path: str, *pieces: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes, int]:
    """Status and body of an answer, and how many pieces of the request were read before it."""
    told: dict = {"body": b"", "read": 0}
    waiting = list(pieces)

    async def receive():
        told["read"] += 1
        piece = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def send(message):
        if message["type"] == "http.response.start":
            told["status"], told["read_before"] = message["status"], told["read"]
        told["body"] += message.get("body", b"")

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return told["status"], told["body"], told["read_before"]


def error(answer: tuple[int, bytes, int]) -> str:
    return json.loads(answer[1])["error"]


def test_what_is_asked_is_answered(app):
    assert json.loads(ask(app, "POST", PREDICT, b'{"instances": [1, 2]}')[1]) == {"predictions": [1, 2]}


@pytest.mark.parametrize("path", [PREDICT, CLASSIFY])
def test_a_large_body_is_read_on_a_thread_of_its_own(app, monkeypatch, path):
    threads, parse = [], json_parse.parse

    def watched(body: bytes) -> dict:
        threads.append(threading.current_thread())
        return parse(body)

    monkeypatch.setattr(json_parse, "parse", watched)
    for size in (1, 100_000):
        assert ask(app, "POST", path, b'{"instances": [%s]}' % b",".join([b"1"] * size))[0] in (200, 400)
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


MANY = b"[" + b"1," * 2_000_000 + b"1]"


@pytest.mark.parametrize(
    "path, body, says",
    [
        (PREDICT, b'{"signature_name": 1, "x": %s}' % MANY, "'signature_name' key must be a string value"),
        (PREDICT, b'{"signature_name": 1, "x": "%s"}' % MANY, "'signature_name' key must be a string value"),
        (PREDICT, b'{"signature_name": "%s"}' % MANY, "Serving signature name"),
        (PREDICT, b'{"instances": [{"%s": 1}]}' % MANY, "Failed to process element: 0 key: ["),
        (PREDICT, MANY, "Is not object"),
        (CLASSIFY, b'{"x": %s}' % MANY, "'examples' is expected"),
        (CLASSIFY, b"[" * 4_000_000, "lists or objects in each other"),
    ],
    ids=["array", "text", "name", "alias", "no_object", "classify", "deep"],
)
def test_a_refusal_has_few_bytes_however_large_the_request(app, path, body, says):
    answer = ask(app, "POST", path, body)
    assert answer[0] == 400
    assert says in error(answer)
    assert len(answer[1]) < 2**17


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 5000])
def test_a_version_that_is_no_int64_is_refused(app, digits):
    assert ask(app, "GET", f"/v1/models/m/versions/{digits}")[:2] == (400, b"")
    assert ask(app, "GET", "/v1/models/m/versions/9223372036854775807")[0] == 404


@pytest.mark.parametrize("length", [{"content-length": str(2 * LIMIT)}, {}], ids=["announced", "chunked"])
def test_a_body_that_is_too_large_is_read_to_its_end(app, length):
    pieces = [b"x" * (LIMIT // 2)] * 4
    answer = ask(app, "POST", PREDICT, *pieces, headers=length)
    assert answer[0] == 413
    assert answer[2] == len(pieces), "who listens only after sending would not hear an earlier answer"


def test_who_asks_before_sending_too_much_is_refused_at_once(app):
    headers = {"content-length": str(2 * LIMIT), "expect": "100-continue"}
    assert ask(app, "POST", PREDICT, b"x", headers=headers)[::2] == (413, 0)
