"""Whole pipelines, run as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent.parent


class Zygote:
    """Starts the command line in forks of a process that has imported TFX and TensorFlow already (see zygote.py)."""

    def __init__(self, home: Path = HOME):
        """Takes the folder of the project, for tests that run an edited copy of it."""
        self._server = subprocess.Popen(
            [sys.executable, str(home / "tests" / "e2e" / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def _ask(self, **command: object) -> dict:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(command) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(
        self,
        args: Sequence[str],
        cwd: Path,
        out: str = os.devnull,
        err: str = os.devnull,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Pid of a process that runs `tailgan` with these arguments, and these variables besides the tests' own."""
        return self._ask(argv=list(args), cwd=str(cwd), out=out, err=err, env=dict(env or {}))["pid"]

    def poll(self, pid: int) -> int | None:
        """Exit code of that process, None while it runs; it is told once."""
        return self._ask(poll=pid)["code"]

    def wait(self, pid: int) -> int:
        """Exit code of that process once it has ended; negative for a signal."""
        return self._ask(wait=pid)["code"]

    def close(self) -> None:
        """Ends the process that forks."""
        self._server.communicate()


@dataclass(frozen=True)
class Root:
    """A root and the means to run things on it."""

    path: Path
    zygote: Zygote

    def tailgan(self, *args: str) -> subprocess.CompletedProcess:
        """Runs the command to its end, in a process of its own."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            code = self.zygote.wait(self.zygote.start(args, self.path.parent, out.name, err.name))
            return subprocess.CompletedProcess(args, code, out.read(), err.read())

    def run_args(self, config: str, *overrides: str) -> list[str]:
        """The arguments of `tailgan run` for a shipped configuration."""
        sets = [part for override in overrides for part in ("--set", override)]
        return ["run", str(HOME / "configs" / config), "--root", str(self.path), *sets]

    def run(self, config: str, *overrides: str) -> subprocess.CompletedProcess:
        """`tailgan run` of a shipped configuration, to its end."""
        return self.tailgan(*self.run_args(config, *overrides))

    def start(self, config: str, *overrides: str) -> subprocess.Popen:
        """The same, under way, started as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *self.run_args(config, *overrides)],
            cwd=HOME,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A shell lets what it starts in the background ignore interrupts, and so would all that comes of it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def kill(self, pid: int) -> int:
        """Kills a process that the zygote started; its exit code."""
        os.kill(pid, signal.SIGKILL)
        return self.zygote.wait(pid)

    def report(self) -> dict:
        """`tailgan report --json`."""
        result = self.tailgan("report", "--json", "--root", str(self.path))
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    @property
    def states(self) -> dict[str, str]:
        """State of each node of the newest run."""
        nodes = json.loads((self.path / "run.json").read_text())["nodes"]
        return {node_id: node["state"] for node_id, node in nodes.items()}

    @property
    def versions(self) -> list[Path]:
        """Pushed versions."""
        return sorted((self.path / "serving" / "generator").glob("[0-9]*"))


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    server = Zygote()
    yield server
    server.close()


@pytest.fixture(scope="module")
def root_of_copy() -> Iterator[Callable[[Path, Path], Root]]:
    """Makes a root on which a copy of the project, given by its folder, runs."""
    servers: list[Zygote] = []

    def make(home: Path, path: Path) -> Root:
        servers.append(Zygote(home))
        return Root(path, servers[-1])

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory, zygote) -> Root:
    return Root(tmp_path_factory.mktemp("work") / "root", zygote)


@pytest.fixture
def new_root(tmp_path, zygote) -> Callable[[str], Root]:
    """Makes roots by name, for tests that need more than one."""
    return lambda name: Root(tmp_path / name, zygote)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real data beside the project, where there is some."""
    path = Path(os.environ.get("TAILGAN_DATA", HOME.parent / "shared")).resolve()
    if not path.is_dir():
        pytest.skip(f"no real data in {path}; TAILGAN_DATA names another place")
    return path
