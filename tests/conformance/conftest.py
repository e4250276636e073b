"""Servers to ask: the local endpoint, started as a process, or one that is already there."""

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

HOME = Path(__file__).resolve().parents[2]


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
def start(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Starts `python -m serving` with these flags, on free ports; ends all of them at the end."""
    started: list[Server] = []

    def begin(*flags: str) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port=0", "--rest_api_port=0", *flags],
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            cwd=HOME,
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
        server.process.wait(30)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """The folder that make_model.py writes."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("make_model.py")), str(folder)], check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="session")
def server(request) -> Server:
    """The server of CONFORMANCE_URL (and CONFORMANCE_GRPC), or the local endpoint."""
    url = os.environ.get("CONFORMANCE_URL")
    if url:
        return Server(re.sub(r"^https?://|/$", "", url), os.environ.get("CONFORMANCE_GRPC", ""))
    folder = request.getfixturevalue("made")
    local = request.getfixturevalue("start")(
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=0",
    )
    local.wait_for("gen", 1)
    local.wait_for("gen", 3)
    local.wait_for("broken", 1)
    local.wait_for("broken", 2, "END")
    return local
