"""The digits on Kubeflow, as far as that can be had without a cluster.

A strict emulator (emulator.py) runs the compiled pipeline, every task in a process of its own, with a real MariaDB for
the metadata.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from models.generator import Generator
from pipeline import metadata
from tests.e2e.emulator import Cluster, Emulator

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parent.parent.parent
IMAGE = f"registry.example/tailgan@sha256:{'0' * 64}"
SETTINGS = (
    "gan.steps=400",
    "gan.checkpoint_every=50",
    "classifier.steps=50",
    "gate.samples_per_class=20",
    "gate.rules=[label_agreement >= 0]",  # so that it is pushed
)
ALL = {"ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGuard", "Judge", "Rebalancer", "GAN",
       "Evaluator", "ServingValidator", "Pusher"}  # fmt: skip


@pytest.fixture(scope="module")
def new_emulator(tmp_path_factory, zygote, mariadb):
    """Compiles configs/digits.yaml under a name and gives what runs it, and the folder that its root is in."""

    def make(name):
        work = tmp_path_factory.mktemp(name)
        (volume := work / "volume").mkdir()
        sets = (
            *SETTINGS, f"name={name}", f"kubeflow.image={IMAGE}", f"kubeflow.mount={work / 'data'}",
            f"kubeflow.ir_folder={work}", f"kubeflow.metadata_uri={mariadb.uri('tailgan')}",
            "kubeflow.pvc=claim", "kubeflow.metadata_secret=store", "kubeflow.defaults={retries: 5, retry_seconds: 1}",
        )  # fmt: skip
        out = work / "pipeline.yaml"
        args = ["compile", str(HOME / "configs" / "digits.yaml"), "-o", str(out)]
        code = zygote.wait(zygote.start([*args, *(part for each in sets for part in ("--set", each))], work))
        assert code == 0

        def start(args, env, log):
            return zygote.start(args, work, str(log), f"{log}-err", env)

        cluster = Cluster(IMAGE, {"claim": volume}, {"store": {"password": mariadb.password}}, start, zygote.poll)
        return Emulator(out.read_text(), cluster, work), volume / name

    return make


@pytest.fixture(scope="module")
def undisturbed(new_emulator):
    emulator, root = new_emulator("undisturbed")
    return emulator, root, emulator.run("run-1")


def logs(emulator, run):
    return {name: emulator.log(run, name)[-2000:] for name in run.states}


def served(root):
    """The one version that serves."""
    (version,) = (root / "serving" / "generator").glob("[0-9]*")
    return Generator(str(version))


def assert_equal_generators(one, other):
    labels, seeds = np.repeat(np.arange(10), 10), np.arange(100)
    assert one.fingerprint == other.fingerprint  # of classes and weights
    np.testing.assert_array_equal(one.generate(labels, seeds), other.generate(labels, seeds))


def test_it_pushes_the_very_generator_of_a_local_run(undisturbed, new_root):
    emulator, root, run = undisturbed
    assert set(run.states.values()) == {"succeeded"}, logs(emulator, run)
    assert {emulator.tasks[name].task_info.name for name in run.order} == ALL
    assert set(run.attempts.values()) == {1}
    local = new_root("local")
    assert local.run("digits.yaml", *SETTINGS).returncode == 0
    assert_equal_generators(served(root), Generator(str(local.versions[0])))


def test_a_second_run_trains_nothing_and_finds_that_it_serves(undisturbed, mariadb):
    emulator, root, _ = undisturbed
    before = served(root).path
    started = time.monotonic()
    run = emulator.run("run-2")
    assert time.monotonic() - started < 300
    assert set(run.states.values()) == {"succeeded"}, logs(emulator, run)
    ran = {name for name in run.states if ": complete" in emulator.log(run, name)}
    assert ran == {"evaluator", "servingvalidator", "pusher"} and "GAN: cached" in emulator.log(run, "gan")
    assert served(root).path == before
    connection = metadata.connect({metadata.URI: mariadb.uri("tailgan"), metadata.PASSWORD: mariadb.password})
    found = metadata.evaluations(connection, ["run-1", "run-2", "run-none"])
    assert {run_id: each["verdict"] for run_id, each in found.items()} == {
        "run-1": "blessed",
        "run-2": "already_serving",
    }
    assert 0 < found["run-1"]["label_agreement"] <= 1 and found["run-1"]["fid"] == found["run-2"]["fid"] > 0


class Trouble:
    """Kills the GAN in the middle of its training, and then the database until a task has failed for want of it."""

    def __init__(self, root, mariadb):
        self.root, self.mariadb = root, mariadb
        self.gan_killed = self.database_back = False
        self.gone_since = 0.0
        self.broken = []

    def __call__(self, run):
        pid = run.pids.get("gan")
        if pid and not self.gan_killed and list(self.root.glob("checkpoints/*/checkpoint")):
            os.kill(pid, signal.SIGKILL)
            self.gan_killed = True
            self.mariadb.kill()
            self.gone_since = time.monotonic()
        starved = run.attempts["gan"] > 1 and "gan" not in run.pids
        if self.gone_since and not self.database_back and starved and time.monotonic() - self.gone_since > 3:
            self.mariadb.start()
            self.database_back = True
        for version in self.root.glob("serving/generator/[0-9]*"):
            if not (version / "saved_model.pb").is_file():
                self.broken.append(version)


def test_a_killed_training_and_a_database_that_is_gone_are_retried_to_the_same_generator(
    undisturbed, new_emulator, mariadb
):
    emulator, root = new_emulator("disturbed")
    trouble = Trouble(root, mariadb)
    try:
        run = emulator.run("run-3", trouble)
    finally:
        if not trouble.database_back and trouble.gan_killed:
            mariadb.start()
    assert set(run.states.values()) == {"succeeded"}, logs(emulator, run)
    assert trouble.database_back and run.attempts["gan"] >= 3 and trouble.broken == []
    errors = "".join(path.read_text() for path in emulator.folder.glob("run-3-gan-*-err"))
    assert f"metadata store: 127.0.0.1:{mariadb.port} cannot be reached: Connection refused" in errors
    assert "going on from step" in errors
    assert_equal_generators(served(root), served(undisturbed[1]))


def test_what_depends_on_a_task_that_fails_for_good_is_skipped(new_emulator):
    emulator, root = new_emulator("failing")
    root.mkdir()
    (root / "artifacts").write_text("in the way of all artifacts")
    emulator.tasks["examplegen"].retry_policy.max_retry_count = 1
    run = emulator.run("run-4")
    assert run.states["examplegen"] == "failed" and run.attempts["examplegen"] == 2
    assert set(run.states.values()) == {"failed", "skipped"}


def test_an_unresolved_input_is_a_failure(new_emulator):
    emulator, _ = new_emulator("unresolved")
    del emulator.tasks["examplegen"]
    emulator.tasks["statisticsgen"].dependent_tasks[:] = []
    emulator.tasks["statisticsgen"].retry_policy.Clear()
    emulator.tasks = {"statisticsgen": emulator.tasks["statisticsgen"]}
    run = emulator.run("run-5")
    assert run.states == {"statisticsgen": "failed"}
    (errors,) = emulator.folder.glob("run-5-statisticsgen-*-err")
    assert "StatisticsGen: NodeFailed: its inputs could not be resolved" in errors.read_text()
