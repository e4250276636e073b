"""The emulator is as strict as a cluster; no program is run here."""

import json
from collections import Counter

import pytest
from google.protobuf import json_format

from pipeline.config import load
from pipeline.kubeflow import compile
from tests.e2e.emulator import WORKERS, Cluster, Emulator

IMAGE = "registry.example/tailgan:1"


class Processes:
    """Processes that end at the second look at them, with the exit codes that a node is given, or with 0."""

    def __init__(self, codes):
        self._codes = {node_id: list(given) for node_id, given in codes.items()}
        self._looks = Counter()
        self.started, self.environments, self.most = [], [], 0

    def start(self, args, environment, log):
        self.started.append(args[args.index("--node-id") + 1])
        self.environments.append(environment)
        assert args[args.index("--run-id") + 1] == "run"
        self.most = max(self.most, len(self.started) - sum(looks > 1 for looks in self._looks.values()))
        return len(self.started) - 1

    def poll(self, pid):
        self._looks[pid] += 1
        codes = self._codes.get(self.started[pid])
        return None if self._looks[pid] < 2 else codes.pop(0) if codes else 0


@pytest.fixture(scope="module")
def package():
    overrides = [f"kubeflow.image={IMAGE}", "kubeflow.defaults={retries: 2, retry_seconds: 0}"]
    return compile(load("configs/digits.yaml", overrides), str).pipeline


@pytest.fixture
def emulate(package, tmp_path):
    """Makes an emulator of a pipeline, in which a text may stand in for another, and its processes."""
    (tmp_path / "volume").mkdir()

    def make(replace=None, image=IMAGE, volumes=("tailgan",), secrets=("tailgan-metadata",), **codes):
        text = package.replace("/data", str(tmp_path / "mounted"))
        if replace:
            assert replace[0] in text
            text = text.replace(*replace)
        processes = Processes(codes)
        cluster = Cluster(
            image,
            dict.fromkeys(volumes, tmp_path / "volume"),
            {name: {"password": "secret"} for name in secrets},
            processes.start,
            processes.poll,
        )
        return Emulator(text, cluster, tmp_path), processes

    return make


def test_tasks_run_after_those_they_wait_for_and_two_at_once(emulate, tmp_path):
    emulator, processes = emulate()
    mounted = set()
    run = emulator.run("run", lambda run: mounted.add((tmp_path / "mounted").exists()))
    assert set(run.states.values()) == {"succeeded"} and processes.most == WORKERS
    for name, task in emulator.tasks.items():
        assert all(run.order.index(each) < run.order.index(name) for each in task.dependent_tasks)
    assert {json.dumps(each, sort_keys=True) for each in processes.environments} == {
        json.dumps(
            {
                "TAILGAN_METADATA_PASSWORD": "secret",
                "TAILGAN_METADATA_URI": "mysql://tailgan@tailgan-metadata:3306/tailgan",
            }
        )
    }
    assert True in mounted and not (tmp_path / "mounted").exists()


def test_a_task_that_fails_is_started_again_as_often_as_its_policy_says(emulate):
    emulator, processes = emulate(GAN=[1, -9])
    run = emulator.run("run")
    assert set(run.states.values()) == {"succeeded"} and run.attempts["gan"] == 3
    emulator, processes = emulate(Rebalancer=[1, 2, 1])
    run = emulator.run("run")
    assert {name for name, state in run.states.items() if state == "skipped"} == {
        "gan",
        "evaluator",
        "servingvalidator",
        "pusher",
    }
    assert run.states["rebalancer"] == "failed" and run.states["judge"] == "succeeded"
    assert Counter(processes.started)["Rebalancer"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": "registry.example/tailgan:2"},
        {"volumes": ("other",)},
        {"secrets": ("other",)},
        {"replace": ("'{{$.pipeline_job_uuid}}'", "run-{{$.pipeline_job_uuid}}")},
        {"replace": ("'{{$.inputs.parameters[''run_id'']}}'", "'{{$.pipeline_job_uuid}}'")},
        {"replace": ("'{{$.inputs.parameters[''run_id'']}}'", "'{{$.inputs.parameters[''run'']}}'")},
    ],
)
def test_what_a_cluster_would_not_do_is_a_fault(emulate, wrong):
    emulator, processes = emulate(**wrong)
    with pytest.raises((AssertionError, KeyError)):
        emulator.run("run")
    assert processes.started == []


@pytest.mark.parametrize("replace", [("retryPolicy", "retries"), ("pvcMount", "volumes"), ("2.1.0", "2.0.0")])
def test_what_the_specification_does_not_know_is_a_fault(emulate, replace):
    with pytest.raises((json_format.ParseError, AssertionError)):
        emulate(replace)
