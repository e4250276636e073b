"""Settings and fixtures that all tests share, the endpoint of `serving` as a process among them."""

import copy
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import settings

import components  # noqa: F401  (before TFX: it settles which Keras TFX's imports get)
from tests.mariadb import MariaDB

# Machines that run tests are slow and shared: an example may take as long as it likes, and each run tries the same.
settings.register_profile("tailgan", deadline=None, derandomize=True)
settings.load_profile("tailgan")


def _export(
    path: Path, generate: Callable, classes: Sequence[str] | None = None, image_shape: Sequence[int] = (8, 8, 1)
) -> Path:
    """A SavedModel whose signature is `generate`: (label, seed) int64 [n] -> {`image_bytes`, `status`}.

    With `classes` it says of itself what an exported generator does.
    """
    import tensorflow as tf

    module = tf.Module()
    vector = [tf.TensorSpec([None], tf.int64, name=name) for name in ("label", "seed")]
    module.generate = tf.function(generate, input_signature=vector)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.generate})
    if classes is not None:
        (path / "assets.extra").mkdir()
        fingerprint = hashlib.sha256(str(path).encode()).hexdigest()
        about = {"classes": classes, "image_shape": image_shape, "data": "d", "fingerprint": fingerprint}
        (path / "assets.extra" / "tailgan.json").write_text(json.dumps(about))
    return path


def _export_table(path: Path, images: Sequence[np.ndarray], classes: Sequence[str] | None = None) -> Path:
    """A generator that draws from images uint8 [n, H, W, C] of each class, by the seed: n in a row are different."""
    import tensorflow as tf

    table = np.concatenate(images)
    counts = np.array([len(of_class) for of_class in images], np.int64)
    starts = np.cumsum(counts) - counts

    def generate(label, seed):
        rows = tf.gather(starts, label) + seed % tf.gather(counts, label)
        pngs = tf.map_fn(tf.io.encode_png, tf.gather(table, rows), fn_output_signature=tf.string)
        return {"image_bytes": pngs, "status": tf.fill(tf.shape(label), "ok")}

    return _export(path, generate, classes, table.shape[1:])


@pytest.fixture(scope="session")
def exports() -> SimpleNamespace:
    """Ways to make SavedModels with a generator's signature: `function` and `table`."""
    return SimpleNamespace(function=_export, table=_export_table)


@pytest.fixture(scope="session")
def digit_parts() -> dict[str, list[np.ndarray]]:
    """The scanned digits in three disjoint parts, `train`, `eval` and `unseen`: 58 images a class, [58, 8, 8, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(images))
    found: dict[str, list[np.ndarray]] = {"train": [], "eval": [], "unseen": []}
    for label in range(10):
        of_class = [image for image in images[order][data.target[order] == label]]
        different = np.stack(list({image.tobytes(): image for image in of_class}.values()))
        for part, name in enumerate(found):
            found[name].append(different[58 * part : 58 * (part + 1)])
    return found


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    """Makes an evaluation.json of three classes, all well; some tests spoil it."""

    def make(classes: tuple[str, str, str] = ("many", "some", "few")) -> dict[str, Any]:
        figures = {
            "kid": 0.1, "kid_relative": 0.05, "coverage": 0.9, "diversity": 0.9, "label_agreement": 0.95,
            "label_agreement_ratio": 1.0, "closest_record_ratio": 0.9, "copied": 0.05, "judge_recall": 0.95,
        }  # fmt: skip
        intervals = {name: [round(value - 0.04, 3), round(value + 0.04, 3)] for name, value in figures.items()}
        known = {**figures, "intervals": intervals}
        row = {
            **known, "train_unique": 5, "eval_real": 40, "generated": 500, "null_kid": 0.0, "null_kid_high": 0.2,
            "kid_p": 0.2, "nearest_class": classes[0], "null_coverage": 0.969, "memorization_p": 0.4,
            "looks_like_part": 0.95, "enough_data": True, "smallest_kid_relative": 0.1,
        }  # fmt: skip
        groups = dict(zip(("head", "middle", "tail"), classes, strict=True))
        return {
            "verdict": "blessed", "blessed": True, "reasons": ["the one rule holds", "nothing serves yet"],
            "warnings": [], "compared": [], "served_version": None, "best_version": None, "generator": "g" * 64,
            "data": "f" * 64,
            "rules": [{
                "rule": "worst.kid_relative <= 0.3", "figure": "worst.kid_relative", "operator": "<=",
                "threshold": 0.3, "value": 0.05, "lo": 0.01, "hi": 0.09, "outcome": "pass", "passed": True,
                "where": classes[2], "why": "the interval of 0.05 ends at 0.09",
            }],
            "features": {"name": "judge", "fingerprint": "n" * 64, "dimensions": 64, "accuracy": 0.93},
            "judge": {"accuracy": 0.9, "eval_images": 120, "fingerprint": "j" * 64},
            "fid": 1.0, "kid": 0.1, "inception_score": 2.0, "label_agreement": 0.9, "precision": 0.7, "recall": 0.6,
            "density": 1.0, "coverage": 0.9, "c2st": 0.55, "intervals": {"kid": [0.05, 0.15]},
            "balance": {"wanted": [40, 40, 40], "predicted": [41, 40, 39], "kl": 0.001, "dead": []},
            "memorization": {"c_t": 0.5, "p": 0.6, "cells": 3, "authenticity": 0.6, "authenticity_real": 0.55},
            "null": {"n": 10, "fid": 1.0, "kid": 0.0, "model_fid": 1.0, "model_kid": 0.0},
            "per_class": {
                name: {**copy.deepcopy(row), "group": group, "looks_like": name} for group, name in groups.items()
            },
            "groups": {
                **{group: {**copy.deepcopy(known), "classes": [name]} for group, name in groups.items()},
                "mean": {**copy.deepcopy(known), "classes": list(classes)},
                "worst": {**copy.deepcopy(known), "where": dict.fromkeys(figures, classes[2])},
            },
        }  # fmt: skip

    return make


class Answer(NamedTuple):
    """Of a REST request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Server:
    """A server of TensorFlow Serving's protocol: host:port of REST and of gRPC, and its process if it is ours."""

    rest: str
    grpc: str
    process: subprocess.Popen | None = None
    log: Path | None = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Asks over REST, on a connection of its own."""
        connection = http.client.HTTPConnection(self.rest, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def wait_for(self, model: str, version: int | None = None, state: str = "AVAILABLE", seconds: float = 60) -> None:
        """Waits until a version of a model, or any, has a state."""
        path = f"/v1/models/{model}" + (f"/versions/{version}" if version is not None else "")
        deadline = time.monotonic() + seconds
        while f'"{state}"'.encode() not in (answer := self.ask("GET", path)).body:
            assert time.monotonic() < deadline, answer
            time.sleep(0.05)


@pytest.fixture(scope="session")
def server_at() -> type[Server]:
    """A server that is there already, from host:port of REST and of gRPC."""
    return Server


def _starting(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Starts `python -m serving`, or another program, with these flags, on free ports; ends all that it started."""
    started: list[Server] = []

    def begin(*flags: str, program: Sequence[str] = ("serving",)) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        process = subprocess.Popen(
            [sys.executable, "-m", *program, "--port=0", "--rest_api_port=0", *flags],
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(r"REST on http://(\S+), gRPC on (\S+)\n", line)
        assert found, f"{line}{log.read_text()}"
        started.append(Server(found[1], found[2], process, log))
        return started[-1]

    yield begin
    for server in started:
        assert server.process
        server.process.terminate()
    for server in started:
        assert server.process
        server.process.wait(120)


start_server = pytest.fixture(_starting, name="start_server")
start_server_once = pytest.fixture(_starting, name="start_server_once", scope="session")


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory) -> Iterator[MariaDB]:
    """A real server, for this session of tests."""
    # Debian puts the server where only root looks for programs.
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin"
    if missing := [name for name in ("mariadbd", "mariadb-install-db", "mariadb") if not shutil.which(name)]:
        pytest.skip(f"no {missing[0]} on this machine; the package is mariadb-server")
    server = MariaDB(tmp_path_factory.mktemp("mariadb"))
    yield server
    server.kill()
