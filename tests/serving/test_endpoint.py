"""The endpoint as a process, with real models: limits, hanging and leaving clients, new versions, stopping."""

import base64
import gzip
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

HOME = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e
GENERATE = "/v1/models/m:predict"


def save(path: Path, version: int) -> None:
    """A model that says its version, label and seed, and one that takes its time."""
    module = tf.Module()
    module.version = tf.Variable(version, dtype=tf.int64)
    vector = [tf.TensorSpec([None], tf.int64, name) for name in ("label", "seed")]

    def generate(label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        told = [tf.strings.as_string(values) for values in (tf.fill(tf.shape(label), module.version), label, seed)]
        return {"image_bytes": tf.strings.join(told, ":")}

    def slow(loops: tf.Tensor) -> dict[str, tf.Tensor]:
        def body(i: tf.Tensor, m: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return i + 1, tf.tanh(m @ m)

        start = tf.constant(0, tf.int64), tf.eye(64)
        done, matrix = tf.while_loop(lambda i, m: i < loops[0], body, start)
        return {"done": done + tf.cast(matrix[0, 0] * 0, tf.int64)}

    tf.saved_model.save(
        module,
        str(path),
        signatures={
            "serving_default": tf.function(generate, input_signature=vector),
            "slow": tf.function(slow, input_signature=[tf.TensorSpec([None], tf.int64, "loops")]),
        },
    )


@pytest.fixture(scope="session")
def versions(tmp_path_factory) -> Path:
    """Versions 1 and 2."""
    folder = tmp_path_factory.mktemp("versions")
    for version in (1, 2):
        save(folder / str(version), version)
    return folder


@pytest.fixture
def base(versions, tmp_path) -> Path:
    """A base path with version 1."""
    shutil.copytree(versions / "1", tmp_path / "m" / "1")
    return tmp_path / "m"


@pytest.fixture
def serve(start_server, base):
    def begin(*flags: str):
        server = start_server("--model_name=m", f"--model_base_path={base}", *flags)
        server.wait_for("m", 1)
        return server

    return begin


def ask(server, label: int = 1, seed: int = 2) -> str:
    answer = server.ask("POST", GENERATE, json.dumps({"instances": [{"label": label, "seed": seed}]}).encode())
    assert answer.status == 200, answer
    return json.loads(answer.body)["predictions"][0]["b64"]


def ask_slow(server, loops: int):
    return server.ask("POST", GENERATE, json.dumps({"signature_name": "slow", "inputs": [loops]}).encode())


def loops_for(server, seconds: float) -> int:
    """How many turns of the slow model take so long, on this machine and now."""
    ask_slow(server, 100)
    start = time.monotonic()
    ask_slow(server, 2000)
    return max(2000, int(2000 * seconds / (time.monotonic() - start)))


def request_of(signature: str, **inputs) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    for alias, values in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(np.asarray(values, np.int64)))
    return request


def predict(server, request: predict_pb2.PredictRequest, timeout: float = 60) -> predict_pb2.PredictResponse:
    with grpc.insecure_channel(server.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=timeout)


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1])
def test_any_seed_over_both_interfaces(serve_once, seed):
    wanted = f"1:3:{seed}".encode()
    response = predict(serve_once, request_of("serving_default", label=[3], seed=[seed]))
    assert list(response.outputs["image_bytes"].string_val) == [wanted]
    body = json.dumps({"inputs": {"label": [3], "seed": [seed]}}).encode()
    answer = json.loads(serve_once.ask("POST", GENERATE, body).body)
    assert base64.b64decode(answer["outputs"][0]["b64"]) == wanted


@pytest.fixture(scope="module")
def serve_once(start_server_once, versions, tmp_path_factory):
    base = tmp_path_factory.mktemp("base") / "m"
    shutil.copytree(versions / "1", base / "1")
    server = start_server_once(
        "--model_name=m", f"--model_base_path={base}", "--max_body_bytes=1000000", "--rest_api_timeout_in_ms=2000"
    )
    server.wait_for("m", 1)
    return server


def test_a_body_that_is_too_large_is_refused_with_the_limit(serve_once):
    answer = serve_once.ask("POST", GENERATE, b"x" * 20_000_000)
    assert answer.status == 413
    assert "more than 1000000 bytes, which is the limit (--max_body_bytes)" in json.loads(answer.body)["error"]
    with pytest.raises(grpc.RpcError) as caught:
        predict(serve_once, request_of("serving_default", label=np.ones(200_000), seed=np.ones(1)))
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"
    assert "1000000" in caught.value.details()


def test_what_unpacks_to_too_much_is_refused(serve_once):
    body = gzip.compress(b" " * 50_000_000)
    answer = serve_once.ask("POST", GENERATE, body, {"Content-Encoding": "gzip"})
    assert answer.status == 413


def test_gzip_is_unpacked(serve_once):
    body = gzip.compress(b'{"instances": [{"label": 1, "seed": 2}]}')
    assert serve_once.ask("POST", GENERATE, body, {"Content-Encoding": "gzip"}).status == 200


def test_a_million_rows_are_refused_with_the_limit(serve_once):
    body = b'{"inputs": {"label": [' + b"1," * 20_000 + b'1], "seed": [1]}}'
    answer = serve_once.ask("POST", GENERATE, body)
    assert (answer.status, json.loads(answer.body)["error"]) == (
        400,
        "20001 rows in one request: at most 20000 (--max_rows)",
    )
    many = request_of("serving_default", label=[1], seed=[1])
    for rows, says in (
        (50_000, "50000 rows in one request: at most 20000"),
        (2**50, f"{2**54} bytes of inputs: at most 1000000"),
    ):
        for alias in ("label", "seed"):  # a small message that stands for many values
            many.inputs[alias].tensor_shape.dim[0].size = rows
        with pytest.raises(grpc.RpcError, match=says):
            predict(serve_once, many)


def test_a_client_that_hangs_is_told_and_disturbs_nobody(serve_once):
    host, _, port = serve_once.rest.rpartition(":")
    with socket.create_connection((host, int(port))) as hanging:
        hanging.sendall(f"POST {GENERATE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        ask(serve_once)
        hanging.settimeout(30)
        assert hanging.recv(1000).startswith(b"HTTP/1.1 504 ")


BODY = '{"inputs": {"label": [1], "seed": [2]}}'
HEAD = f"POST {GENERATE} HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent, answers",
    [
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n", 1),
        (f"{HEAD}Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}", 1),
        (f"POST {GENERATE} HTTP/1.0\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}", 1),
        (f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}" * 2, 2),
    ],
    ids=["chunked", "expect", "http_1_0", "pipelined"],
)
def test_ways_to_send_a_request(serve_once, sent, answers):
    host, _, port = serve_once.rest.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent.encode())
        received = b""
        while received.count(b'"outputs"') < answers and (more := connection.recv(10_000)):
            received += more
    assert len(re.findall(rb"HTTP/1\.[01] 200 OK", received)) == answers


def test_a_thousand_open_connections(serve_once):
    host, _, port = serve_once.rest.rpartition(":")
    opened = [socket.create_connection((host, int(port))) for _ in range(1000)]
    try:
        for connection in (opened[0], opened[-1]):
            connection.sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        ask(serve_once)
    finally:
        for connection in opened:
            connection.close()


def test_who_gives_up_is_told_and_the_endpoint_goes_on(serve_once):
    loops = loops_for(serve_once, 6)
    assert ask_slow(serve_once, loops).status == 504
    with pytest.raises(grpc.RpcError) as caught:
        predict(serve_once, request_of("slow", loops=[loops]), timeout=1)
    assert caught.value.code().name == "DEADLINE_EXCEEDED"
    ask(serve_once)


def test_too_many_requests_are_refused(serve):
    server = serve("--max_waiting=1", "--rest_api_timeout_in_ms=120000")
    loops = loops_for(server, 0.5)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask_slow(server, loops))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200, 503}
    refused = next(answer for answer in answers if answer.status == 503)
    assert "queue to which this task was submitted is full" in json.loads(refused.body)["error"]


def test_a_port_in_use_is_named(base):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag, other in (("--port", "--rest_api_port"), ("--rest_api_port", "--port")):
            done = subprocess.run(
                [sys.executable, "-m", "serving", f"--model_base_path={base}", f"{flag}={port}", f"{other}=0"],
                cwd=HOME, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 2
            assert f"{flag}: 127.0.0.1:{port}: Address already in use" in done.stderr


def test_of_two_that_begin_at_once_one_is_told_that_the_port_is_in_use(base):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving", f"--model_base_path={base}", "--port=0", f"--rest_api_port={port}"]
    both = [
        subprocess.Popen(command, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        deadline = time.monotonic() + 100
        while not (ended := [process for process in both if process.poll() is not None]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert [process.returncode for process in ended] == [2]
        assert ended[0].stderr and f"--rest_api_port: 127.0.0.1:{port}: Address already" in ended[0].stderr.read()
    finally:
        for process in both:
            process.kill()
            process.communicate()


def test_a_file_of_models_that_changes_is_taken_over_once_it_can_be(
    start_server, base, versions, tmp_path, tmp_path_factory
):
    file = tmp_path / "models.config"
    entry = 'model_config_list {{ config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" {} }} }}'
    file.write_text(entry.format("m", tmp_path / "ghost", ""))

    def change() -> None:  # while TensorFlow is loaded
        while not any(f"{tmp_path}/ghost for" in log.read_text() for log in logs.glob("server*/log")):
            time.sleep(0.01)
        file.write_text(entry.format("m", base, 'version_labels { key: "canary" value: 2 }'))

    logs = tmp_path_factory.getbasetemp()
    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    server = start_server(
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=0.2",
        "--load_retry_interval_micros=200000",
    )
    deadline = time.monotonic() + 60
    while "label to version 2" not in server.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.copytree(versions / "2", base / "2")
    body = b'{"inputs": {"label": [1], "seed": [2]}}'
    while (answer := server.ask("POST", "/v1/models/m/labels/canary:predict", body)).status != 200:
        assert time.monotonic() < deadline + 60, answer
        time.sleep(0.05)
    assert base64.b64decode(json.loads(answer.body)["outputs"][0]["b64"]) == b"2:1:2"


def test_an_empty_base_path_is_told_and_waited_for(start_server, versions, tmp_path):
    base = tmp_path / "m"
    server = start_server("--model_name=m", f"--model_base_path={base}", "--file_system_poll_wait_seconds=0.2")
    answer = server.ask("GET", "/v1/models/m")
    assert (answer.status, json.loads(answer.body)["error"]) == (404, "Could not find any versions of model m")
    base.mkdir()
    deadline = time.monotonic() + 30
    while "No versions of servable m found" not in server.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"Could not find base path {base} for servable m" in server.log.read_text()
    assert f"No versions of servable m found under base path {base}: waiting" in server.log.read_text()
    shutil.copytree(versions / "1", base / "1")
    server.wait_for("m", 1)
    ask(server)


def test_versions_change_under_load_and_no_request_fails(serve, base, versions):
    server = serve("--file_system_poll_wait_seconds=0.5", "--enable_batching")
    answers: list[str] = []
    done = threading.Event()

    def work(seed: int) -> None:
        while not done.is_set():
            answers.append(ask(server, seed=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    try:
        files = sorted(
            (path for path in (versions / "2").rglob("*") if path.is_file()), key=lambda p: p.name != "saved_model.pb"
        )
        for path in files:  # slowly, and what a version is known by first
            copy = base / "2" / path.relative_to(versions / "2")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            time.sleep(0.3)
        server.wait_for("m", 2)
        server.wait_for("m", 1, "END")
        shutil.rmtree(base / "2")
        server.wait_for("m", 1)
        server.wait_for("m", 2, "END")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    told = {answer for answer in answers}
    assert {base64.b64decode(answer).decode() for answer in told} == {
        f"{version}:1:{seed}" for version in (1, 2) for seed in range(4)
    }
    assert "cannot be loaded" not in server.log.read_text(), "a version that is being copied was tried"


@pytest.mark.parametrize(
    "signature, outputs, says",
    [
        ("serving_default", ["image_bytes"], None),
        ("nope", [], 'Serving signature key \\"nope\\" not found.'),
        ("serving_default", ["nope"], "output tensor alias not found in signature: nope"),
    ],
    ids=["good", "no_signature", "no_output"],
)
def test_a_version_is_warmed_before_it_serves(start_server, base, tmp_path, signature, outputs, says):
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    extra = base / "1" / "assets.extra"
    extra.mkdir()
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request_of(signature, label=[1], seed=[2]))
    log.predict_log.request.output_filter.extend(outputs)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as file:
        file.write(log.SerializeToString())
    server = start_server(
        "--model_name=m",
        f"--model_base_path={base}",
        "--max_num_load_retries=0",
        f"--monitoring_config_file={tmp_path}/monitoring.config",
    )
    if says:
        server.wait_for("m", 1, "END")
        assert says in server.ask("GET", "/v1/models/m").body.decode()
        return
    server.wait_for("m", 1)
    metrics = server.ask("GET", "/monitoring/prometheus/metrics").body.decode()
    assert f'model_warmup_latency_count{{model_path="{base}/1",status="OK"}} 1' in metrics
    ask(server)
    metrics = server.ask("GET", "/monitoring/prometheus/metrics").body.decode()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in metrics
    assert 'request_latency_count{model_name="m",API="predict",entrypoint="REST"} 1' in metrics


def test_on_sigterm_what_is_under_way_ends_and_nothing_new_begins(serve):
    server = serve("--drain_seconds=60", "--rest_api_timeout_in_ms=60000")
    loops = loops_for(server, 4)
    answers = []
    rest = threading.Thread(target=lambda: answers.append(ask_slow(server, loops).status))
    over_grpc = threading.Thread(
        target=lambda: answers.append(predict(server, request_of("slow", loops=[loops])).model_spec.version.value)
    )
    rest.start()
    over_grpc.start()
    time.sleep(0.5)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    with pytest.raises(ConnectionRefusedError):
        server.ask("GET", "/v1/models/m")
    rest.join()
    over_grpc.join()
    assert sorted(answers) == [1, 200]
    assert server.process.wait(30) == 0


def test_a_sigterm_while_it_starts_ends_it(base):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving", f"--model_base_path={base}", "--port=0", f"--rest_api_port={port}"]
    process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        with socket.socket() as caller:
            while caller.connect_ex(("127.0.0.1", port)):  # TensorFlow is loaded after the port is taken
                assert time.monotonic() < deadline
                time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_draining_has_an_end(serve):
    server = serve("--drain_seconds=1")
    loops = loops_for(server, 30)

    def ask_in_vain() -> None:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask_slow(server, loops)

    thread = threading.Thread(target=ask_in_vain)
    thread.start()
    time.sleep(0.5)
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 1
    assert time.monotonic() - start < 15
    thread.join()
    assert "still under way after 1 s" in server.log.read_text()


def test_draining_has_an_end_while_a_body_is_read(serve):
    server = serve("--drain_seconds=1")
    body = b'{"inputs": {"label": [' + b"1," * 10_000_000 + b"x"  # takes long, for it is read anew to say what is wrong
    host, _, port = server.rest.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(1)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 1
        assert time.monotonic() - start < 15


def test_a_reload_over_grpc(serve, base, versions):
    server = serve()
    shutil.copytree(versions / "2", base / "2")
    request = model_management_pb2.ReloadConfigRequest()
    entry = request.config.model_config_list.config.add(name="m", base_path=str(base), model_platform="tensorflow")
    entry.model_version_policy.all.SetInParent()
    entry.version_labels["stable"] = 1
    with grpc.insecure_channel(server.grpc) as channel:
        response = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=60)
    assert response.status.error_code == 0
    body = b'{"inputs": {"label": [1], "seed": [2]}}'
    for path, version in (("/labels/stable", 1), ("", 2)):
        answer = server.ask("POST", f"/v1/models/m{path}:predict", body)
        assert base64.b64decode(json.loads(answer.body)["outputs"][0]["b64"]) == f"{version}:1:2".encode()
