"""A model server with one model in it, as a process of its own."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.serving_validator import leash
from components.serving_validator.options import ValidationOptions
from models.errors import UserError

KEY = "serving.validation.server"
MODEL_NAME = "generator"
VERSION = 1
POLL_SECONDS = 0.1
_LAST_LINES = 5


class ServerFailed(Exception):
    """The server does not serve the model, or no longer; the message says how."""


class Server(ABC):
    """A server, from `start` until it is closed, which this process's end does as well.

    Attributes:
      grpc, rest: `host:port` of the two, from when the model is available.
      seconds: time that it took to become available.
    """

    grpc: str
    rest: str
    seconds: float

    def __init__(self, model: Path, options: ValidationOptions, log: Path):
        """Takes the directory of a SavedModel, and a file for what the server has to say."""
        self._model = model.resolve()
        self._options = options
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._exit_code: int | None = None

    def start(self) -> None:
        """Starts it and waits until the model is available.

        Raises:
          UserError: if the server itself cannot be started here.
          ServerFailed: if the model does not become available in it.
        """
        self._prepare()
        start = time.monotonic()
        deadline = start + self._options.timeout_seconds
        leashed = {"command": self._command(), "afterwards": self._afterwards()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-IS", leash.__file__, json.dumps(leashed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
                env=self._environment(),
                text=True,
            )
        assert self._process.stdout
        self._pid = int(self._process.stdout.readline())
        while (addresses := self._addresses()) is None:
            if self.exit_code() is not None or time.monotonic() > deadline:
                raise UserError(f"the server did not start{self.last_lines()}", KEY)
            time.sleep(POLL_SECONDS)
        self.grpc, self.rest = addresses
        while not self._available():
            self.check()
            if time.monotonic() > deadline:
                limit = f"{self._options.timeout_seconds:g} s (`serving.validation.timeout_seconds`)"
                raise ServerFailed(f"the model was not available after {limit}{self.last_lines()}")
            time.sleep(POLL_SECONDS)
        self.seconds = time.monotonic() - start

    def close(self) -> None:
        """Ends it; returns when it is gone."""
        if self._process:
            self._process.communicate()

    def exit_code(self) -> int | None:
        """Exit code of a server that has ended, negative for a signal; None while it runs."""
        assert self._process and self._process.stdout
        if self._exit_code is None and self._process.poll() is not None:
            self._exit_code = int(self._process.stdout.readline() or -signal.SIGKILL)
        return self._exit_code

    def check(self, patience: float = 0.0) -> None:
        """Raises `ServerFailed` if the server has ended, or does within so many seconds."""
        assert self._process
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        code = self.exit_code()
        if code is not None:
            how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
            raise ServerFailed(f"the server ended {how}{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of what the server said, to be added to a message."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "".join(["; its last lines:", *(f"\n    {line}" for line in lines)]) if lines else "; it said nothing"

    def peak_memory(self) -> int | None:
        """The most memory that it had so far, resident, in bytes; None where that cannot be read."""
        pid = self._pid_of_server()
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def _available(self) -> bool:
        """Whether the model is; raises `ServerFailed` if it will never be."""
        connection = http.client.HTTPConnection(self.rest, timeout=self._options.timeout_seconds)
        try:
            connection.request("GET", f"/v1/models/{MODEL_NAME}/versions/{VERSION}")
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        for version in answer.get("model_version_status", ()):
            if version["state"] == "END":
                raise ServerFailed(f"the model cannot be loaded: {version['status']['error_message']}")
            return version["state"] == "AVAILABLE"
        return False

    @abstractmethod
    def _prepare(self) -> None:
        """What has to be there before; raises `UserError` where it cannot be had."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _afterwards(self) -> list[str]:
        return []

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    @abstractmethod
    def _addresses(self) -> tuple[str, str] | None:
        """`host:port` of gRPC and of REST; None while they are not known."""

    def _pid_of_server(self) -> int:
        return self._pid


class LocalServer(Server):
    """The local endpoint, on a CPU: an accelerator is held by the process that trained."""

    def _prepare(self) -> None:
        self._base = tempfile.TemporaryDirectory()
        (Path(self._base.name) / str(VERSION)).symlink_to(self._model)

    def close(self) -> None:
        super().close()
        self._base.cleanup()

    def _command(self) -> list[str]:
        # Nothing of the working directory is imported (-P), but what is imported here is found there as well.
        return [
            *(sys.executable, "-P", "-m", "serving", "--port=0", "--rest_api_port=0"),
            *_flags(self._base.name, self._options),
        ]

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, sys.path))
        return {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"}

    def _addresses(self) -> tuple[str, str] | None:
        said = self._log.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^REST on http://(\S+), gRPC on (\S+)$", said, re.MULTILINE)
        return (found[2], found[1]) if found else None


class DockerServer(Server):
    """TensorFlow Serving's own image, by the command line of Docker."""

    def _prepare(self) -> None:
        require_docker()
        self._name = f"tailgan-validation-{uuid.uuid4().hex}"
        image = self._options.image
        if _docker("image", "inspect", image).returncode:
            pulled = _docker("pull", image)
            if pulled.returncode:
                said = pulled.stderr.strip().splitlines() or ["it says nothing"]
                raise UserError(f"Docker has no image {image}, and cannot get it: {said[-1]}", KEY)

    def _command(self) -> list[str]:
        # The server in the place of the image's shell: so the container's process is the one whose memory counts.
        return [
            *("docker", "run", "--rm", "--name", self._name, "--entrypoint", "tensorflow_model_server"),
            *("--publish", "127.0.0.1::8500", "--publish", "127.0.0.1::8501"),
            *("--mount", f"type=bind,source={self._model},target=/models/{MODEL_NAME}/{VERSION},readonly"),
            *(self._options.image, "--port=8500", "--rest_api_port=8501"),
            *_flags(f"/models/{MODEL_NAME}", self._options),
        ]

    def _afterwards(self) -> list[str]:
        return ["docker", "rm", "--force", self._name]

    def _addresses(self) -> tuple[str, str] | None:
        found = [_docker("port", self._name, f"{port}/tcp").stdout.split() for port in (8500, 8501)]
        return (found[0][0], found[1][0]) if all(found) else None

    def _pid_of_server(self) -> int:
        return int(_docker("inspect", "--format", "{{.State.Pid}}", self._name).stdout.strip() or 0)


def require_docker() -> None:
    """Raises `UserError` where Docker's command line is not there."""
    if shutil.which("docker") is None:
        raise UserError("`docker` needs Docker's command line, which is not there; `local` does without", KEY)


def _flags(base_path: str, options: ValidationOptions) -> list[str]:
    """What both servers are told alike."""
    return [
        f"--model_name={MODEL_NAME}",
        f"--model_base_path={base_path}",
        "--max_num_load_retries=0",
        f"--rest_api_timeout_in_ms={round(options.timeout_seconds * 1000)}",
    ]


def _docker(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@contextmanager
def serving(model: Path, options: ValidationOptions, log: Path) -> Iterator[Server]:
    """A server in which a model is available; see `Server.start` for what is raised."""
    server = (DockerServer if options.server == "docker" else LocalServer)(model, options, log)
    try:
        server.start()
        yield server
    finally:
        server.close()
