"""The local endpoint against a bare call of the same SavedModel: `python benchmarks/serving.py [--model DIR]`.

Prints a table: the median time of a request for one image and for 64, and images a second with 32 clients that ask for
one image each. The model is a generator with the networks of configs/digits.yaml, untrained unless DIR names an
exported one; `--size` makes its images larger. The endpoint is a process of its own, and so are the clients; all of
them share this machine's cores, and its load. So everything is measured in turn, several times, and each factor is the
median of those of the turns. Processor time is told beside it, which depends less on what else the machine does.

`--soak MINUTES --swaps N` instead asks for images without a pause while N new versions are pushed, and prints how many
requests failed, how many answers were of no version that was whole, and the endpoint's memory before and after.
"""

import argparse
import base64
import http.client
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

HOME = Path(__file__).resolve().parent.parent
CLIENTS = 32
SECONDS = 1.5
TURNS = 3
PROCESSES = 2  # of clients


def make_model(path: Path, size: int, seed: int = 0) -> None:
    """Exports a generator with the networks of configs/digits.yaml; in a process of its own, for it loads Keras."""
    program = f"""
import keras, yaml
from models.dataset import DatasetInfo
from models.export import export_generator
from models.networks import build_networks
from models.options import GANOptions
keras.utils.set_random_seed({seed})
options = GANOptions(**yaml.safe_load(open("configs/digits.yaml"))["gan"])
classes, shape, counts = tuple("0123456789"), ({size}, {size}, 1), (1,) * 10
generator, _ = build_networks(options, shape, len(classes))
info = DatasetInfo(classes=classes, image_shape=shape, fingerprint="0", counts={{"train": counts, "eval": counts}},
    train_unique=counts, source_counts=counts, class_weights=(1.0,) * len(classes))
export_generator(generator, {str(path)!r}, info, {{"steps": 0}})
"""
    subprocess.run([sys.executable, "-c", program], cwd=HOME, check=True, stderr=subprocess.DEVNULL)


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


def measured(ask: Callable, count: int, pid: int) -> tuple[float, float]:
    """Median milliseconds of a request for so many images, and the milliseconds of processor time that it takes."""
    for _ in range(3):
        ask(count)
    times = []
    before, end = processor_seconds(pid), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        ask(count)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times)), 1000 * (processor_seconds(pid) - before) / len(times)


def processor_seconds(pid: int) -> float:
    """That a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _client_process(kind: str, address: str, threads: int, begin, counted) -> None:
    make = rest_client if kind == "REST" else grpc_client
    clients = [make(address) for _ in range(threads)]
    done = [0] * threads

    def work(i: int) -> None:
        clients[i](1, i)
        begin.wait()
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            clients[i](1, done[i])
            done[i] += 1

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counted.put(sum(done))


def throughput(kind: str, address: str) -> float:
    """Images a second of 32 clients with one image a request."""
    context = multiprocessing.get_context("spawn")
    begin, counted = context.Barrier(CLIENTS), context.Queue()
    processes = [
        context.Process(target=_client_process, args=(kind, address, CLIENTS // PROCESSES, begin, counted))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    total = sum(counted.get() for _ in processes)
    for process in processes:
        process.join()
    return total / SECONDS


def table(model: Path) -> None:
    """Prints the table."""
    bare = bare_call(model)
    figures: dict[str, list[tuple[float, ...]]] = {}
    with endpoint(model.parent) as plain, endpoint(model.parent, "--enable_batching") as batching:
        asked = {"bare call": (lambda: bare, os.getpid(), None)}
        for suffix, (rest, grpc_address, pid) in (("", plain), (", batching", batching)):
            asked[f"REST{suffix}"] = partial(rest_client, rest), pid, ("REST", rest)
            asked[f"gRPC{suffix}"] = partial(grpc_client, grpc_address), pid, ("gRPC", grpc_address)
        for _ in range(TURNS):
            for name, (connect, pid, clients) in asked.items():
                ask = connect()
                if ask(8) != bare(8):
                    raise RuntimeError(f"{name} gives other images than the bare call")
                rate = throughput(*clients) if clients else best_rate(bare)
                figures.setdefault(name, []).append((*measured(ask, 1, pid), *measured(ask, 64, pid), rate))
    heads = ("ms for 1 image", "factor", "processor ms", "ms for 64", "factor", "processor ms", "images/s", "factor")
    print("| | " + " | ".join(heads) + " |")
    print("|---" * 9 + "|")
    base = np.array(figures["bare call"])
    for name, turns in figures.items():
        p1, cpu1, p64, cpu64, rate = np.median(turns, axis=0)
        f1, _, f64, _, f_rate = np.median(np.array(turns) / base, axis=0)
        print(
            f"| {name} | {p1:.2f} | {f1:.1f} | {cpu1:.2f} | {p64:.2f} | {f64:.2f} | {cpu64:.1f} | {rate:.0f} ", end=""
        )
        print(f"| {f_rate:.2f} |")


def best_rate(bare: Callable) -> float:
    """Images a second of the bare call, at its best batch."""
    return max(size * 1000 / measured(bare, size, os.getpid())[0] for size in (64, 128, 256))


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(model: Path, folder: Path, size: int, minutes: float, swaps: int) -> None:
    """Prints what happened to requests while versions were pushed."""
    other = folder / "other"
    make_model(other, size, seed=1)
    sources = [model, other]
    whole = {tuple(bare_call(source)(4, 0)) for source in sources}
    base = folder / "served"
    shutil.copytree(sources[0], base / "1")
    failed: list[str] = []
    counts = {"answers": 0, "foreign": 0}
    lock = threading.Lock()
    end = time.monotonic() + 60 * minutes
    with endpoint(base, "--enable_batching") as (rest, grpc_address, pid):

        def work(make: Callable, address: str) -> None:
            ask = make(address)
            while time.monotonic() < end:
                try:
                    images = tuple(ask(4, 0))
                except Exception as error:
                    with lock:
                        failed.append(str(error))
                    ask = make(address)
                    continue
                with lock:
                    counts["answers"] += 1
                    counts["foreign"] += images not in whole

        workers = [
            threading.Thread(target=work, args=pair)
            for pair in ((rest_client, rest), (grpc_client, grpc_address))
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        time.sleep(5)
        memory = [resident_mib(pid)]
        for swap in range(swaps):
            push_slowly(sources[(swap + 1) % 2], base / str(swap + 2))
            time.sleep(max(0.0, (end - time.monotonic() - 5) / (swaps - swap)))
            memory.append(resident_mib(pid))
        for worker in workers:
            worker.join()
        served = json.loads(status(rest)[1])["model_version_status"][0]
    print("| minutes | swaps | answers | failed | of no whole version | newest version | MiB after each swap |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {minutes:g} | {swaps} | {counts['answers']} | {len(failed)} | {counts['foreign']} "
        f"| {served['version']} {served['state']} | {', '.join(f'{mib:.0f}' for mib in memory)} |"
    )
    for fault in sorted(set(failed))[:5]:
        print(fault)


def push_slowly(source: Path, target: Path) -> None:
    """Copies a version file by file, `saved_model.pb` first, as a careless copy does."""
    files = sorted(
        (path for path in source.rglob("*") if path.is_file()), key=lambda path: path.name != "saved_model.pb"
    )
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        time.sleep(0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="directory of an exported generator")
    parser.add_argument("--size", type=int, default=8, help="side of an image (default: %(default)s)")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--swaps", type=int, default=5, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "generator" / "1"
        if args.model:
            shutil.copytree(args.model, model)
        else:
            make_model(model, args.size)
        if args.soak:
            soak(model, folder, args.size, args.soak, args.swaps)
        else:
            table(model)


if __name__ == "__main__":
    main()
