"""What benchmarks/serving.py measures and what it measures with: models, an endpoint, clients, a bare call."""

import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
BATCHING = ("--enable_batching", f"--batching_parameters_file={HOME / 'serving/tf_serving/batching_parameters.txt'}")


def make_model(path: Path, shape: tuple[int, int, int], seed: int = 0) -> None:
    """Exports an untrained generator with the networks that are the default for this shape of images.

    In a process of its own, for it loads Keras.
    """
    program = f"""
import keras
from models.dataset import DatasetInfo
from models.export import export_generator
from models.networks import build_networks
from models.options import GANOptions
keras.utils.set_random_seed({seed})
classes, counts = tuple("0123456789"), (1,) * 10
generator, _ = build_networks(GANOptions(), {shape}, len(classes))
info = DatasetInfo(classes=classes, image_shape={shape}, fingerprint="0", counts={{"train": counts, "eval": counts}},
    train_unique=counts, source_counts=counts, class_weights=(1.0,) * len(classes))
export_generator(generator, {str(path)!r}, info, {{"steps": 0}})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stderr)


@contextmanager
def endpoint(base: Path, *flags: str) -> Iterator[tuple[str, str, int]]:
    """Serves the versions below `base`; yields host:port of REST and gRPC, and the pid."""
    command = [sys.executable, "-m", "serving", "--model_name=generator", f"--model_base_path={base}"]
    command += ["--port=0", "--rest_api_port=0", "--file_system_poll_wait_seconds=0.5", *flags]
    process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        found = re.search(r"http://(\S+), gRPC on (\S+)", process.stdout.readline())
        assert found, "the endpoint did not start"
        while status(found[1])[0] != 200 or b"AVAILABLE" not in status(found[1])[1]:
            time.sleep(0.1)
        yield found[1], found[2], process.pid
    finally:
        process.terminate()
        process.wait()


def status(address: str) -> tuple[int, bytes]:
    """Of the model."""
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/v1/models/generator")
    response = connection.getresponse()
    return response.status, response.read()


def rows(count: int, first_seed: int = 0) -> tuple[list[int], list[int]]:
    """Labels and seeds."""
    return [i % 10 for i in range(count)], list(range(first_seed, first_seed + count))


def rest_client(address: str) -> Callable[[int, int], list[bytes]]:
    """Asks for images over REST, on one connection."""
    connection = http.client.HTTPConnection(address, timeout=60)

    def ask(count: int, first_seed: int = 0) -> list[bytes]:
        instances = [{"label": label, "seed": seed} for label, seed in zip(*rows(count, first_seed), strict=True)]
        connection.request("POST", "/v1/models/generator:predict", json.dumps({"instances": instances}))
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(body[:200])
        return [base64.b64decode(row["image_bytes"]["b64"]) for row in json.loads(body)["predictions"]]

    return ask


def grpc_client(address: str) -> Callable[[int, int], list[bytes]]:
    """Asks for images over gRPC, on one channel."""
    import grpc
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    stub = PredictionServiceStub(grpc.insecure_channel(address))

    def ask(count: int, first_seed: int = 0) -> list[bytes]:
        request = PredictRequest()
        request.model_spec.name = "generator"
        for alias, values in zip(("label", "seed"), rows(count, first_seed), strict=True):
            proto = request.inputs[alias]
            proto.dtype = 9  # int64
            proto.tensor_shape.dim.add(size=count)
            proto.int64_val.extend(values)
        return list(stub.Predict(request, timeout=60).outputs["image_bytes"].string_val)

    return ask


def bare_call(path: Path) -> Callable[[int, int], list[bytes]]:
    """Calls the signature in this process."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    signature = model.signatures["serving_default"]

    def ask(count: int, first_seed: int = 0) -> list[bytes]:
        label, seed = (tf.constant(values, tf.int64) for values in rows(count, first_seed))
        return signature(label=label, seed=seed)["image_bytes"].numpy().tolist()

    ask.model = model  # type: ignore[attr-defined]  (keeps the variables)
    return ask


def processor_seconds(pid: int) -> float:
    """That a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
