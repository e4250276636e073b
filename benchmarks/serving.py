"""The local endpoint against a bare call of the same SavedModel: `python benchmarks/serving.py [--images 8x8x1 ...]`.

For generators with the default networks for images of several shapes, untrained: how long a request for 1 image and for
64 takes, and how many images a second 32 clients get that ask for one image each, next to what the bare call makes at
its best batch. Batching is as in serving/tf_serving/batching_parameters.txt.

The endpoint is a process of its own, and so are the clients (serving_load.py); all of them share this machine's cores,
and its load. So everything is measured in turn, several times, figures are medians, and each factor is the median of
those of the turns. Beside the images a second of the 32 clients stand the processor time that the bare call, or the
endpoint, used for each of them, which depends less on what else the machine does, and the parts of all its processor
time that endpoint and clients took: what the clients take, the model cannot have.

`--soak MINUTES --swaps N` instead asks for images without a pause while N new versions are pushed, and prints how many
requests failed, how many answers were of no version that was whole, and the endpoint's memory before and after.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from serving_parts import (
    BATCHING,
    HOME,
    bare_call,
    endpoint,
    grpc_client,
    make_model,
    processor_seconds,
    rest_client,
)
from serving_soak import soak

IMAGES = ("8x8x1", "28x28x1", "32x32x3", "64x64x3")
CLIENTS = 32
SECONDS = 1.0  # of each measurement of one client
LOAD_SECONDS = 2.0  # of the 32
TURNS = 3
HEADS = ("images", "", "ms for 1", "factor", "ms for 64", "factor")
HEADS += ("images/s", "factor", "processor ms an image", "endpoint", "clients")  # these of 32 clients


def measured(ask: Callable, count: int) -> float:
    """Median milliseconds of a request for so many images."""
    for _ in range(3):
        ask(count)
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        ask(count)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def best_rate(bare: Callable) -> tuple[float, float, float, float]:
    """Images a second of the bare call, at its best batch, and milliseconds of processor time of an image there."""
    found = []
    for size in (32, 64, 128, 256):
        before, made = time.process_time(), 0

        def ask(count: int) -> None:
            nonlocal made
            bare(count)
            made += count

        rate = size * 1000 / measured(ask, size)
        found.append((rate, 1000 * (time.process_time() - before) / made, np.nan, np.nan))
    return max(found)


def load(kind: str, address: str, pid: int) -> tuple[float, float, float, float]:
    """What 32 clients get that ask for one image at a time.

    Returns:
      Images a second; the endpoint's milliseconds of processor time for one; the parts of the machine's processor time
      that endpoint and clients took.
    """
    command = [sys.executable, HOME / "benchmarks/serving_load.py", kind, address, str(CLIENTS), str(LOAD_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        _, clients_before = process.stdout.readline().split()
        before, start = processor_seconds(pid), time.perf_counter()
        _, clients_after, answered = process.stdout.readline().split()
        seconds = time.perf_counter() - start
        endpoint_took = processor_seconds(pid) - before
    machine = seconds * (os.cpu_count() or 1)
    clients_took = float(clients_after) - float(clients_before)
    of_image = 1000 * endpoint_took / int(answered)
    return int(answered) / seconds, of_image, endpoint_took / machine, clients_took / machine


def turns(model: Path) -> dict[str, np.ndarray]:
    """{way to ask: [turn, figure]}; the figures are ms for 1 and for 64 images, and those of `load`."""
    bare = bare_call(model)
    figures: dict[str, list[tuple[float, ...]]] = {}
    with endpoint(model.parent) as plain, endpoint(model.parent, *BATCHING) as batching:
        ways: dict[str, tuple] = {"bare call": (lambda: bare, partial(best_rate, bare))}
        for suffix, (rest, grpc_address, pid) in (("", plain), (", batching", batching)):
            ways[f"REST{suffix}"] = partial(rest_client, rest), partial(load, "REST", rest, pid)
            ways[f"gRPC{suffix}"] = partial(grpc_client, grpc_address), partial(load, "gRPC", grpc_address, pid)
        for _ in range(TURNS):
            for name, (connect, many) in ways.items():
                ask = connect()
                if ask(8) != bare(8):
                    raise RuntimeError(f"{name} gives other images than the bare call")
                figures.setdefault(name, []).append((measured(ask, 1), measured(ask, 64), *many()))
    return {name: np.array(rows) for name, rows in figures.items()}


def print_rows(images: str, figures: dict[str, np.ndarray]) -> None:
    """The rows of one model."""
    base = figures["bare call"]
    for name, rows in figures.items():
        one, many, rate, of_image, *parts = np.median(rows, axis=0)
        f_one, f_many, f_rate = np.median(rows[:, :3] / base[:, :3], axis=0)
        cells = [f"{one:.2f}", f"{f_one:.1f}", f"{many:.1f}", f"{f_many:.2f}", f"{rate:.0f}", f"{f_rate:.2f}"]
        cells += [f"{of_image:.2f}", *("" if np.isnan(part) else f"{part:.0%}" for part in parts)]
        print("|", " | ".join([images, name, *cells]), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", default=IMAGES, help="shapes (default: %(default)s); --soak: the first")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--swaps", type=int, default=5, metavar="N")
    args = parser.parse_args()
    if not args.soak:
        print("|", " | ".join(HEADS), "|")
        print("|---" * len(HEADS) + "|", flush=True)
    for images in args.images[:1] if args.soak else args.images:
        height, width, channels = map(int, images.split("x"))
        with tempfile.TemporaryDirectory() as name:
            model = Path(name) / "generator" / "1"
            make_model(model, (height, width, channels))
            if args.soak:
                soak(model, Path(name), (height, width, channels), args.soak, args.swaps)
            else:
                print_rows(images, turns(model))


if __name__ == "__main__":
    main()
