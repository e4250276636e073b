"""Settings that all tests share, and the endpoint of `serving` as a process."""

import http.client
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

import components  # noqa: F401  (before TFX: it settles which Keras TFX's imports get)

# Machines that run tests are slow and shared: an example may take as long as it likes, and each run tries the same.
settings.register_profile("tailgan", deadline=None, derandomize=True)
settings.load_profile("tailgan")


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


@pytest.fixture(scope="session")
def start_server(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Starts `python -m serving` with these flags, on free ports; ends all of them at the end."""
    started: list[Server] = []

    def begin(*flags: str) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port=0", "--rest_api_port=0", *flags],
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
        server.process.wait(30)
