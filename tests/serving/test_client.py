"""The client, against the endpoint as a process, and against servers that are unwell."""

import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from models.generator import Generator
from pipeline import cli
from serving import client as client_module
from serving import client_rest
from serving.client import Client
from serving.errors import ServingError

pytestmark = pytest.mark.e2e
HOME = Path(__file__).resolve().parents[2]
RECORDED = Path(os.environ.get("TAILGAN_DATA", HOME.parent / "shared")) / "tf_serving" / "rest.jsonl"
SEEDS = [0, 1, -5, 2**63 - 1, -(2**63), 7, 8, 9]
LABELS = [3, 1, 4, 1, 5, 9, 2, 6]
NAMES = ("zero", "0", "<b>two</b>", "a/b", "e", "f", "g", "h", "i", "j")


@pytest.fixture(scope="module")
def urls(start_server_once, exported) -> dict[str, str]:
    server = start_server_once("--model_name=generator", f"--model_base_path={exported.parent}")
    server.wait_for("generator")
    return {"grpc": f"grpc://{server.grpc}", "http": f"http://{server.rest}"}


@pytest.fixture(params=["grpc", "http"])
def client(request, urls) -> Iterator[Client]:
    with Client(urls[request.param]) as made:
        yield made


def pixels(pngs: list[bytes]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in pngs]).astype(int)


# What is asked.


def test_images_are_those_of_the_exported_generator(client, exported):
    expected = Generator(str(exported)).generate_png(np.array(LABELS), np.array(SEEDS))
    assert client.generate(LABELS, SEEDS) == expected
    assert client.generate([NAMES[label] for label in LABELS], SEEDS) == expected
    in_batches = client.generate(LABELS, SEEDS, batch_size=3)
    assert np.abs(pixels(in_batches) - pixels(expected)).max() <= 1
    assert client.generate([], []) == []


def test_answers_are_arrays_of_the_signatures_types(client):
    signatures = client.signatures()
    assert set(signatures) == {"serving_default", "by_name", "truncated", "array", "latent"}
    assert signatures["latent"].inputs["z"].shape == (None, 8)
    answer = client.predict({"label": np.array([1, 99], np.int32), "seed": range(2)}, "array")
    assert answer["image"].dtype == np.float32 and answer["image"].shape == (2, 8, 8, 1)
    assert answer["status"].tolist() == [b"ok", b"unknown label 99: allowed 0..9"]
    assert client.predict({"label": [], "seed": []}, "array")["image"].shape == (0, 8, 8, 1)
    z = np.zeros((1, 8))
    z[0, 0] = np.nan
    assert client.predict({"label": [1], "z": z}, "latent")["status"].tolist() == [b"z is not finite"]


@pytest.mark.parametrize(
    ("inputs", "signature", "says"),
    [
        ({"label": [1]}, "serving_default", "serving_default takes label, seed: got label"),
        ({"label": [1], "seed": [0.5]}, "serving_default", "seed: float64 values that are no int64"),
        ({"label": [1], "seed": [2**63]}, "serving_default", "seed: uint64 values that are no int64"),
        ({"label": ["one"], "seed": [0]}, "serving_default", "label: <U3 values that are no int64"),
        ({"name": [1], "seed": [0]}, "by_name", "name: strings expected"),
        ({"label": [1], "seed": [0]}, "nope", "generator has no signature nope: there are array, by_name"),
        ({"label": [1], "seed": [0, 1]}, "serving_default", "label and seed differ in length"),
    ],
)
def test_what_does_not_fit_is_refused(client, inputs, signature, says):
    with pytest.raises(ServingError) as refused:
        client.predict(inputs, signature)
    assert says in refused.value.message and refused.value.code == "INVALID_ARGUMENT"


def test_an_unknown_class_is_refused(client):
    with pytest.raises(ServingError, match="unknown name two: allowed zero, 0"):
        client.generate(["zero", "two"], [0, 0])
    with pytest.raises(ServingError, match="unknown label 10: allowed 0"):
        client.generate([10], [0])
    with pytest.raises(ServingError, match="2 labels, but 1 seeds"):
        client.generate([1, 2], [0])


def test_classes_are_counted(client, monkeypatch):
    assert client.count_classes() == 10
    for classes in (1, 2, 3, 7, 8, 9, 1000):
        status = lambda inputs, classes=classes: {  # noqa: E731
            "status": np.array([b"ok" if inputs["label"][0] < classes else b"no"], object)
        }
        monkeypatch.setattr(client, "predict", status)
        assert client.count_classes() == classes


def test_a_model_that_takes_any_label_has_no_count_of_classes(client, monkeypatch):
    monkeypatch.setattr(client, "predict", lambda inputs: {"status": np.array([b"ok"], object)})
    with pytest.raises(ServingError, match="takes any label"):
        client.count_classes()


def test_a_model_that_is_not_served_is_named(urls):
    for url in urls.values():
        with pytest.raises(ServingError, match="nope") as refused, Client(f"{url}/nope") as client:
            client.signatures()
        assert refused.value.code == "NOT_FOUND"


@pytest.mark.parametrize(
    "url",
    ["localhost:8501", "ftp://localhost", "http://", "grpc://h:x", "http://h:99999", "http://h/a/b", "http://h?q=1"],
)
def test_what_is_no_endpoint_is_said(url):
    with pytest.raises(ServingError):
        Client(url)


def test_ports_and_model_have_defaults():
    assert client_module._parts("grpc://h") == ("grpc", "h", 8500, "generator")
    assert client_module._parts("http://[::1]/m") == ("http", "[::1]", 8501, "m")
    assert client_module._parts("https://h:1/") == ("https", "h", 1, "generator")


def test_rest_needs_no_tensorflow(urls):
    program = (
        "import sys\nfrom serving.client import Client\n"
        f"assert len(Client({urls['http']!r}).generate([1], [2])) == 1\nassert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=HOME, check=True)


# Servers that are unwell.

SHAPE = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
DEFINITION = {
    "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": SHAPE, "name": "x:0"}},
    "outputs": {"y": {"dtype": "DT_INT64", "tensor_shape": SHAPE, "name": "y:0"}},
    "method_name": "tensorflow/serving/predict",
}
SIGNATURE = {
    "model_spec": {"name": "generator", "signature_name": "", "version": "1"},
    "metadata": {"signature_def": {"signature_def": {"serving_default": DEFINITION}}},
}
OK = (200, json.dumps({"outputs": [2**53 + 1]}).encode())
FULL = (503, b'{"error": "The batch scheduling queue is full"}')


class Rest:
    """A REST server that gives these answers in turn, the last one for ever; a callable writes its own."""

    def __init__(self, *answers):
        self.asked: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send(200, json.dumps(SIGNATURE).encode())

            def do_POST(self):
                outer.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
                answer = answers[min(len(outer.asked), len(answers)) - 1]
                if callable(answer):
                    answer(self)
                else:
                    self.send(*answer)

            def send(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def rest() -> Iterator[Callable[..., Rest]]:
    started = []

    def begin(*answers) -> Rest:
        started.append(Rest(*answers))
        return started[-1]

    yield begin
    for server in started:
        server.close()


def hang_up(handler):
    handler.close_connection = True


def trickle(handler):
    """A byte now and then, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass


def cut_off(handler):
    """Half of what was promised."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"outputs": [1')
    handler.close_connection = True


def test_a_refusal_that_comes_before_all_is_sent_is_heard():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b'HTTP/1.1 413 Too Large\r\nContent-Length: 17\r\n\r\n{"error": "much"}')

        thread = threading.Thread(target=refuse)
        thread.start()
        transport = client_rest.Rest("http", "127.0.0.1", listening.getsockname()[1])
        signature = client_module.Signature({}, {})
        with pytest.raises(ServingError) as refused:
            transport.predict("m", "serving_default", signature, {"x": np.zeros(3_000_000)}, 30)
        thread.join()
    assert refused.value.code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("unwell", [FULL, hang_up, cut_off])
def test_who_is_unavailable_twice_is_asked_three_times(rest, unwell):
    server = rest(unwell, unwell, OK)
    with Client(server.url) as client:
        assert client.predict({"x": [0.5]})["y"].tolist() == [2**53 + 1]
    assert len(server.asked) == 3 and len(set(server.asked)) == 1


def test_the_same_over_grpc():
    asked = []

    class Unwell(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):
            definitions = get_model_metadata_pb2.SignatureDefMap()
            definition = definitions.signature_def["serving_default"]
            definition.inputs["x"].dtype, definition.outputs["y"].dtype = 1, 1
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(definitions)
            return response

        def Predict(self, request, context):
            asked.append(request.inputs["x"].float_val[0])
            if len(asked) < 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            response = predict_pb2.PredictResponse()
            response.outputs["y"].CopyFrom(request.inputs["x"])
            return response

    server = grpc.server(ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Unwell(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"grpc://127.0.0.1:{port}") as client:
            assert client.predict({"x": [0.5]})["y"].tolist() == [0.5]
        assert asked == [0.5] * 3
    finally:
        server.stop(0)


def test_who_stays_unavailable_is_given_up_at_the_deadline(rest):
    server = rest(FULL)
    with Client(server.url, deadline=1.0) as client:
        client.signatures()
        start = time.monotonic()
        with pytest.raises(
            ServingError, match=r"unavailable, at \d+ attempts within 1 s: The batch .* full"
        ) as refused:
            client.predict({"x": [0.5]})
    assert refused.value.code == "UNAVAILABLE" and len(server.asked) >= 2
    assert time.monotonic() - start < 5


def test_who_was_unavailable_and_then_hangs_was_unavailable(rest):
    server = rest(FULL, lambda handler: time.sleep(2))
    with (
        Client(server.url) as client,
        pytest.raises(ServingError, match="at 2 attempts within 1 s: The batch") as refused,
    ):
        client.signatures()
        client.predict({"x": [0.5]}, deadline=1.0)
    assert refused.value.code == "UNAVAILABLE"


@pytest.mark.parametrize("status", [400, 404, 500, 504])
def test_what_would_be_refused_again_is_not_asked_again(rest, status):
    server = rest((status, b'{"error": "no"}'))
    with pytest.raises(ServingError, match="no") as refused, Client(server.url) as client:
        client.predict({"x": [0.5]})
    assert len(server.asked) == 1 and refused.value.code != "UNAVAILABLE"


@pytest.mark.parametrize("unwell", [trickle, lambda handler: time.sleep(3)])
def test_a_server_that_hangs_is_left_at_the_deadline(rest, unwell):
    server = rest(unwell)
    with Client(server.url) as client:
        client.signatures()
        start = time.monotonic()
        with pytest.raises(ServingError) as refused:
            client.predict({"x": [0.5]}, deadline=0.5)
    assert refused.value.code == "DEADLINE_EXCEEDED" and time.monotonic() - start < 2.5


def test_over_grpc_too():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(ServingError) as refused:
            patch.setattr(client_module, "METADATA_SECONDS", 0.5)
            with Client(f"grpc://127.0.0.1:{silent.getsockname()[1]}") as client:
                client.signatures()
    assert refused.value.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE") and time.monotonic() - start < 5


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"outputs": {"z": 1}}', b'{"outputs": ["x"]}', b"\xff"])
def test_an_answer_that_is_none_is_told(rest, body):
    with pytest.raises(ServingError) as refused, Client(rest((200, body)).url) as client:
        client.predict({"x": [0.5]})
    assert refused.value.code == "INTERNAL"


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"no {RECORDED}; TAILGAN_DATA names another place")
def test_what_a_real_server_answered_is_understood(rest, monkeypatch):
    rows = {row["name"]: row for row in map(json.loads, RECORDED.read_text().splitlines()) if row["server"] == "main"}
    monkeypatch.setitem(SIGNATURE, "metadata", rows["metadata"]["response"]["body"]["metadata"])
    answered = json.dumps(rows["column_dtypes"]["response"]["body"]).encode()
    with Client(rest((200, answered)).url) as client:
        answer = client.predict({"i32": [-3], "u8": [255], "f64": [0.1]}, "dtypes")
    assert {name: (array.dtype.name, array.tolist()) for name, array in answer.items()} == {
        "i32": ("int32", [-3]), "u8": ("uint8", [255]), "f64": ("float64", [0.1])
    }  # fmt: skip


# `tailgan sample --endpoint`.


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


@pytest.mark.parametrize(
    ("labels", "exact"), [(["zero", "0", "a/b"], True), (["2", "9"], True), (["zero", "4"], False)]
)
def test_sampling_an_endpoint_gives_the_files_of_its_model(client, exported, tmp_path, labels, exact):
    asked = ["--count=30", "--seed=-3", *(f"--label={label}" for label in labels)]
    assert cli.main(["sample", "--model", str(exported), *asked, f"--out={tmp_path / 'model'}"]) == 0
    assert cli.main(["sample", "--endpoint", client.url, *asked, f"--out={tmp_path / 'served'}"]) == 0
    expected, found = list(files(tmp_path / "model").values()), list(files(tmp_path / "served").values())
    assert len(found) == 30 * len(labels)
    if exact:
        assert found == expected
    else:
        assert np.abs(pixels(found) - pixels(expected)).max() <= 1


def test_all_classes_of_an_endpoint_have_numbers_for_names(client, exported, tmp_path):
    assert cli.main(["sample", "--endpoint", client.url, "--count=2", f"--out={tmp_path / 'served'}"]) == 0
    assert cli.main(["sample", "--model", str(exported), "--count=2", f"--out={tmp_path / 'model.png'}"]) == 0
    assert cli.main(["sample", "--endpoint", client.url, "--count=2", f"--out={tmp_path / 'served.png'}"]) == 0
    assert sorted(files(tmp_path / "served")) == sorted(
        f"{label}/{seed}.png" for label in range(10) for seed in range(2)
    )
    assert (tmp_path / "served.png").read_bytes() == (tmp_path / "model.png").read_bytes()


def test_what_is_wrong_with_an_endpoint_is_one_line_and_exit_code_2(client, tmp_path, capsys, monkeypatch):
    out = f"--out={tmp_path / 'x.png'}"
    monkeypatch.setattr(client_module, "METADATA_SECONDS", 0.5)
    for arguments, says in (
        (["--endpoint", client.url, "--label=two"], "--label two: no such class"),
        (["--endpoint", client.url, "--label=17"], "unknown label 17: allowed 0..9"),
        (["--endpoint", f"{client.url}/nope"], "nope"),
        (["--endpoint", "http://127.0.0.1:1"], "unavailable, at"),
        (["--endpoint", "127.0.0.1:1"], "not an endpoint; allowed are grpc://HOST"),
    ):
        assert cli.main(["sample", *arguments, out]) == 2
        said = capsys.readouterr().err
        assert says in said and len(said.splitlines()) == 1
    assert not (tmp_path / "x.png").exists()
