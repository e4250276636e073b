"""Server processes: how they begin, end and fail; the local endpoint and Docker."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.serving_validator import leash, server, validation
from components.serving_validator.options import ValidationOptions
from models.errors import UserError

HOME = Path(__file__).resolve().parents[3]


# Servers made for a test, which are quicker to start.


def pretend(monkeypatch, program: str) -> None:
    """Has another program started in the place of the local endpoint."""
    monkeypatch.setattr(server.LocalServer, "_command", lambda self: [sys.executable, "-c", program])


LOADING = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"model_version_status": [{"version": "1", "state": "LOADING", "status": {}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"REST on http://127.0.0.1:{server.server_port}, gRPC on 127.0.0.1:1", "still at it", sep="\\n", flush=True)
server.serve_forever()
"""


def test_a_generator_that_is_never_available_is_told_after_the_time_that_is_given(good, tmp_path, monkeypatch):
    pretend(monkeypatch, LOADING)
    before = time.monotonic()
    document = validation.validate(good, ValidationOptions(timeout_seconds=3), tmp_path / "log")
    assert time.monotonic() - before < 30
    (reason,) = document["reasons"]
    assert "was not available after 3 s (`serving.validation.timeout_seconds`)" in reason and "still at it" in reason


@pytest.mark.parametrize(
    ("program", "said"), [("raise SystemExit('no such flag')", "no such flag"), ("", "it said nothing")]
)
def test_a_server_that_does_not_start_is_no_fault_of_the_generator(good, tmp_path, monkeypatch, program, said):
    pretend(monkeypatch, program)
    with pytest.raises(UserError, match=f"(?s)`serving.validation.server`: the server did not start.*{said}") as raised:
        validation.validate(good, ValidationOptions(), tmp_path / "log")
    assert raised.value.key == "serving.validation.server"


HOLD = """
import sys, time
from pathlib import Path
from components.serving_validator import server
from components.serving_validator.options import ValidationOptions
server.LocalServer._command = lambda self: [sys.executable, "-c", sys.argv[2]]
with server.serving(Path(sys.argv[1]), ValidationOptions(), Path(sys.argv[1]) / "log"):
    pass
"""


def test_a_server_ends_with_the_process_that_started_it_even_when_that_is_killed(tmp_path, processes):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), LOADING], env={**os.environ, "PYTHONPATH": str(HOME)}
    )
    try:
        processes.wait_until(lambda: (tmp_path / "log").is_file() and "REST on" in (tmp_path / "log").read_text())
        (line,) = processes.below(holder.pid)
        (pid,) = processes.below(line)
        assert os.getpgid(pid) == os.getpgid(line) != os.getpgid(holder.pid)
    finally:
        holder.kill()
        holder.wait()
    processes.wait_until(lambda: not processes.is_running(pid) and not processes.is_running(line))


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def test_a_leash_ends_what_it_holds_and_clears_away(tmp_path, processes):
    told = json.dumps(
        {
            "command": [sys.executable, "-c", STUBBORN],
            "afterwards": [sys.executable, "-c", f"open({str(tmp_path / 'cleared')!r}, 'w')"],
        }
    )
    with (tmp_path / "log").open("wb") as log:
        held = subprocess.Popen(
            [sys.executable, "-IS", leash.__file__, told],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, process_group=0,
        )  # fmt: skip
    pid = int(held.stdout.readline())
    processes.wait_until(lambda: "up" in (tmp_path / "log").read_text())
    out, _ = held.communicate(timeout=60)
    assert int(out) == -signal.SIGKILL
    assert not processes.is_running(pid) and (tmp_path / "cleared").is_file()


# Docker, by a command of that name which starts the local endpoint.

DOCKER = f"""#!{sys.executable}
import json, os, re, signal, subprocess, sys, time
from pathlib import Path

state = Path(os.environ["FAKE_DOCKER"])
args = sys.argv[1:]
with (state / "calls").open("a") as calls:
    print(json.dumps(args), file=calls)
match args:
    case ["image", "inspect", image]:
        sys.exit(0 if (state / "image").is_file() else 1)
    case ["pull", image]:
        if "nowhere" in image:
            sys.exit(f"Error: pull access denied for {{image}}")
        (state / "image").touch()
    case ["run", "--rm", "--name", name, "--entrypoint", "tensorflow_model_server",
          "--publish", "127.0.0.1::8500", "--publish", "127.0.0.1::8501", "--mount", mount, image, *flags]:
        options = dict(part.split("=") for part in mount.split(",") if "=" in part)
        assert options["type"] == "bind" and mount.endswith(",readonly"), mount
        base = state / name / "generator"
        base.mkdir(parents=True)
        assert options["target"] == "/models/generator/1"
        (base / "1").symlink_to(options["source"])
        assert flags[:2] == ["--port=8500", "--rest_api_port=8501"], flags
        flags = [flag.replace("/models/generator", str(base)) for flag in flags[2:]]
        log = (state / name / "log").open("w")
        # Like a container, it is no child of this command's group.
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port=0", "--rest_api_port=0", *flags],
            stdout=log, stderr=log, start_new_session=True,
        )
        (state / name / "pid").write_text(str(process.pid))
        sys.exit(process.wait())
    case ["port", name, port]:
        found = re.search(r"REST on http://(\\S+), gRPC on (\\S+)", (state / name / "log").read_text())
        if not found:
            sys.exit("no public port")
        print(found[{{"8501/tcp": 1, "8500/tcp": 2}}[port]])
    case ["inspect", "--format", "{{{{.State.Pid}}}}", name]:
        print((state / name / "pid").read_text())
    case ["rm", "--force", name]:
        if (state / name / "pid").is_file():
            os.kill(int((state / name / "pid").read_text()), signal.SIGKILL)
        (state / "removed").write_text(name)
    case _:
        sys.exit(f"docker: unknown arguments {{args}}")
"""


@pytest.fixture
def docker(tmp_path, monkeypatch) -> Path:
    """Where the command of that name keeps what it knows."""
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text(DOCKER)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    state = tmp_path / "docker"
    state.mkdir()
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(state))
    monkeypatch.setenv("PYTHONPATH", str(HOME))
    return state


def test_a_generator_is_called_in_a_container_that_is_gone_afterwards(good, docker, tmp_path, processes):
    document = validation.validate(good, ValidationOptions(server="docker"), tmp_path / "log")
    assert document["blessed"] is True and document["server"] == "tensorflow/serving:2.16.1", document["reasons"]
    calls = [json.loads(line) for line in (docker / "calls").read_text().splitlines()]
    assert calls[:2] == [["image", "inspect", document["server"]], ["pull", document["server"]]]
    name = calls[2][calls[2].index("--name") + 1]
    assert ["rm", "--force", name] in calls and (docker / "removed").read_text() == name
    pid = int((docker / name / "pid").read_text())
    processes.wait_until(lambda: not processes.is_running(pid))
    memory = next(row for row in document["checks"] if row["name"] == "memory at its peak")
    assert memory["value"] > 100  # the server's, not the command's


def test_what_docker_says_is_told_where_it_has_no_image(good, docker, tmp_path):
    options = ValidationOptions(server="docker", image="nowhere/serving:1")
    with pytest.raises(UserError, match="has no image nowhere/serving:1, and cannot get it: Error: pull access denied"):
        validation.validate(good, options, tmp_path / "log")


def test_without_docker_it_is_said_what_does_without(good, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"`serving.validation.server`: `docker` needs Docker's.*`local` does without"):
        validation.validate(good, ValidationOptions(server="docker"), tmp_path / "log")
