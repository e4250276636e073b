"""The digits on Kubeflow, as far as that can be had without a cluster: the compiled pipeline is run by a strict emulator
(emulator.py), every task in a process of its own, with a real MariaDB for the metadata.
"""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.e2e.emulator import Cluster, Emulator

from models.export import Generator
from pipeline import metadata

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
       "Evaluator", "Pusher"}  # fmt: skip


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
    (version,) = (root / "serving" / "generator").iterdir()
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
