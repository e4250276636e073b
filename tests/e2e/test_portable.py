"""The Beam parts on an engine: by the protocol that the job servers of Flink and Spark speak, here with Beam's own.

A job service and a worker pool run as processes of their own, as on a cluster; a worker imports what is installed where
the pool runs, and shares nothing with the run but files.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from pipeline.graph import sha256

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parent.parent.parent
QUICK = (
    "gan.network=mlp", "gan.steps=10", "gan.checkpoint_every=10", "gan.export.filter=null", "classifier.steps=10",
    "gate.samples_per_class=20", "gate.rules=[label_agreement >= 0]", "serving.validation.server=none",
)  # fmt: skip
BEAM = ("ExampleGen", "StatisticsGen", "Rebalancer", "Evaluator")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Engine:
    """Beam's job service and a worker pool, in a folder for what they print."""

    def __init__(self, folder):
        self.folder = folder
        self.peaks: dict[int, int] = {}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # the pool starts `python`
        self._env = {**os.environ, "PATH": path, "PYTHONPATH": str(HOME)}
        self.pool = f"localhost:{free_port()}"
        self.endpoint = f"localhost:{free_port()}"
        self._processes = [
            self._start("runners.portability.local_job_service_main", f"--port={self.endpoint.partition(':')[2]}"),
            self._start("runners.worker.worker_pool_main", f"--service_port={self.pool.partition(':')[2]}"),
        ]
        self._channel = grpc.insecure_channel(self.endpoint)
        self._ends = threading.Event()
        self._watch = threading.Thread(target=self._measure)
        self._watch.start()

    def _start(self, module, *args):
        name = module.rpartition(".")[2]
        with (self.folder / name).open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"apache_beam.{module}", *args],
                cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                process_group=0,
            )  # fmt: skip

    def wait(self):
        """Waits until both are there."""
        grpc.channel_ready_future(self._channel).result(600)
        with grpc.insecure_channel(self.pool) as pool:
            grpc.channel_ready_future(pool).result(600)

    def _measure(self):
        """Peak memory of each worker, in KiB, as often as it can be seen."""
        pool = self._processes[1].pid
        while not self._ends.wait(0.2):
            for path in Path(f"/proc/{pool}/task").glob("*/children"):
                for pid in path.read_text().split():
                    try:
                        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                    except (OSError, ValueError):  # it has ended
                        continue
                    self.peaks[int(pid)] = int(peak)

    def options(self, **more):
        """The override of a configuration that has it used."""
        # The job service ends the streams of what a job says after so long.
        args = ["--job_server_timeout=600"]
        portable = {"runner": "PortableRunner", "job_endpoint": self.endpoint, "environment_config": self.pool}
        return f"beam={json.dumps({**portable, 'args': args, **more})}"

    def jobs(self):
        """States of the jobs that it was given."""
        jobs = beam_job_api_pb2_grpc.JobServiceStub(self._channel).GetJobs(beam_job_api_pb2.GetJobsRequest())
        return [beam_job_api_pb2.JobState.Enum.Name(job.state) for job in jobs.job_info]

    def started(self):
        """How many workers the pool has started."""
        return (self.folder / "worker_pool_main").read_text().count("Starting worker with command")

    def close(self):
        self._ends.set()
        self._watch.join()
        self._channel.close()
        for process in self._processes:
            os.killpg(process.pid, signal.SIGTERM)  # with its workers
        for process in self._processes:
            process.wait(60)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("engine"))
    try:
        engine.wait()
        yield engine
    finally:
        engine.close()


def run(root, *overrides):
    result = root.run("digits.yaml", *QUICK, *overrides)
    assert result.returncode == 0, result.stdout + result.stderr
    return root


@pytest.fixture(scope="module")
def direct(root):
    return run(root)


@pytest.fixture(scope="module")
def portable(engine, tmp_path_factory, zygote, direct):
    return run(type(direct)(tmp_path_factory.mktemp("work") / "root", zygote), engine.options())


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outputs(root, node_id):
    """{output: {path: bytes}}."""
    found = json.loads((root.path / "run.json").read_text())["nodes"][node_id]["outputs"]
    return {name: files(Path(uri)) for name, (uri,) in found.items()}


def test_each_beam_node_of_a_run_was_a_job_of_the_engine(engine, portable):
    assert engine.jobs() == ["DONE"] * len(BEAM)
    assert engine.started() == len(BEAM)  # workers of the pool, each a process
    assert set(portable.states.values()) == {"complete"}
    (log,) = (portable.path / "logs").glob("*.log")
    assert "Attempting to infer TFX Python dependency" not in log.read_text(errors="replace")
    for node_id, peak in zip(BEAM, engine.peaks.values(), strict=True):
        print(f"{node_id}: a worker of {peak / 1024:.0f} MiB at its peak")


@pytest.mark.parametrize("node_id", BEAM)
def test_what_comes_out_is_what_the_direct_runner_gives_to_the_byte(direct, portable, node_id):
    one, other = outputs(direct, node_id), outputs(portable, node_id)
    if node_id == "Evaluator":
        one, other = one["evaluation"], other["evaluation"]  # a blessing names the paths of its run
        assert {"evaluation.json", "samples.npz"} <= one.keys()
    assert one and one.keys() == other.keys()
    assert one == other


def test_what_is_kept_of_real_images_is_the_same_and_nothing_else_is_left(direct, portable):
    kept = files(portable.path / "cache")
    assert len(kept) == 3 and kept == files(direct.path / "cache")
    assert not [path for path in portable.path.rglob("*") if path.name.startswith((".tmp", "tmp"))]
    assert not (portable.path / "tmp").exists()


def test_a_task_of_a_cluster_launches_its_node_with_the_options_in_the_graph(engine, direct, tmp_path):
    """Its worker is in its own process, which takes no time to start."""
    jobs, workers = len(engine.jobs()), engine.started()
    beam = engine.options(environment_type="LOOPBACK", environment_config=None)
    sets = (*QUICK, beam, f"kubeflow.mount={tmp_path}/data", "kubeflow.metadata_secret=null",
            f"kubeflow.metadata_uri=sqlite:///{tmp_path}/store.db")  # fmt: skip
    (tmp_path / "data").mkdir()
    args = ["compile", str(HOME / "configs" / "digits.yaml"), "-o", str(tmp_path / "pipeline.yaml")]
    args += [part for each in sets for part in ("--set", each)]
    assert direct.zygote.wait(direct.zygote.start(args, tmp_path)) == 0
    ir = tmp_path / "digits.ir.json"
    args = ["node", "--ir", str(ir), "--ir-sha256", sha256(ir.read_bytes()), "--node-id", "ExampleGen", "--run-id", "1"]
    env = {"TAILGAN_METADATA_URI": f"sqlite:///{tmp_path}/store.db"}
    log = tmp_path / "log"
    assert direct.zygote.wait(direct.zygote.start(args, tmp_path, err=str(log), env=env)) == 0, log.read_text()
    assert engine.jobs()[jobs:] == ["DONE"] and engine.started() == workers
    (examples,) = (tmp_path / "data" / "digits" / "artifacts" / "ExampleGen" / "examples").iterdir()
    assert files(examples) == outputs(direct, "ExampleGen")["examples"]


def test_a_worker_pool_that_is_not_there_fails_the_node_in_a_sentence(engine, new_root):
    result = new_root("poolless").run("digits.yaml", *QUICK, engine.options(environment_config="127.0.0.1:1"))
    assert result.returncode == 1, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("tailgan: ExampleGen: failed to connect") and "127.0.0.1:1: " in line
    assert engine.jobs()[-1] == "FAILED"


def test_a_fault_of_the_data_is_told_in_its_own_words(engine, new_root):
    result = new_root("faulty").run("digits.yaml", *QUICK, engine.options(), "data.min_train_per_class=150")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "fewer than `data.min_train_per_class` = 150" in result.stderr
