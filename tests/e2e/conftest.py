"""Whole pipelines, run as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Root:
    """A root and the means to run things on it."""

    path: Path

    def tailgan(self, *args: str) -> subprocess.CompletedProcess:
        """Runs the real command in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *args],
            capture_output=True,
            text=True,
            cwd=self.path.parent,
            env={**os.environ, "PYTHONPATH": str(HOME)},
        )

    def run_args(self, config: str, *overrides: str) -> list[str]:
        """The arguments of `tailgan run` for a shipped configuration."""
        sets = [part for override in overrides for part in ("--set", override)]
        return ["run", str(HOME / "configs" / config), "--root", str(self.path), *sets]

    def run(self, config: str, *overrides: str) -> subprocess.CompletedProcess:
        """`tailgan run` of a shipped configuration, to its end."""
        return self.tailgan(*self.run_args(config, *overrides))

    def start(self, config: str, *overrides: str) -> subprocess.Popen:
        """The same, under way."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *self.run_args(config, *overrides)],
            cwd=HOME,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A shell lets what it starts in the background ignore interrupts, and so would all that comes of it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

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


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Root:
    return Root(tmp_path_factory.mktemp("work") / "root")


@pytest.fixture
def new_root(tmp_path) -> Callable[[str], Root]:
    """Makes roots by name, for tests that need more than one."""
    return lambda name: Root(tmp_path / name)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real data beside the project, where there is some."""
    path = Path(os.environ.get("TAILGAN_DATA", HOME.parent / "shared")).resolve()
    if not path.is_dir():
        pytest.skip(f"no real data in {path}; TAILGAN_DATA names another place")
    return path
