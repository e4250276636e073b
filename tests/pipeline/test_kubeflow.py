"""Compiling for Kubeflow Pipelines. What the result does is shown by tests/e2e/test_kubeflow.py."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import graph
from pipeline.config import ConfigError, load
from pipeline.kubeflow import check_names, compile, sanitized
from pipeline.kubeflow_options import TRAINERS

HOME = Path(__file__).parent.parent.parent
DIGEST = f"registry.example/tailgan@sha256:{'1' * 64}"
OVERRIDES = (
    "kubeflow.defaults={cpu: 500m, memory: 2Gi, retries: 2, retry_seconds: 10}",
    "kubeflow.trainers.accelerator={count: 2}",
    "kubeflow.trainers.tolerations=[{key: gpu, operator: Equal, value: a, effect: NoExecute}]",
    "kubeflow.nodes={GAN: {memory: 8Gi, retries: 5}, Pusher: {retries: 0}}",
    f"kubeflow.image={DIGEST}",
    "kubeflow.pvc=claim",
)


def compiled(*overrides):
    return compile(load("configs/digits.yaml", overrides), lambda key: f"where {key} is")


@pytest.fixture(scope="module")
def package():
    return compiled(*OVERRIDES)


@pytest.fixture(scope="module")
def documents(package):
    return list(yaml.safe_load_all(package.pipeline))


def container(documents, node_id):
    return documents[0]["deploymentSpec"]["executors"][f"exec-{node_id.lower()}"]["container"]


def test_there_is_a_task_for_each_node_in_the_order_of_the_graph(package, documents):
    spec = documents[0]
    assert spec["schemaVersion"] == "2.1.0" and spec["pipelineInfo"]["name"] == "digits"
    tasks = spec["root"]["dag"]["tasks"]
    upstream = graph.upstream(package.graph)
    assert len(tasks) == len(upstream) == 11
    for node_id, before in upstream.items():
        task = tasks[node_id.lower()]
        assert task["taskInfo"]["name"] == node_id  # as a person reads it
        assert task.get("dependentTasks", []) == sorted(each.lower() for each in before)
        assert task["cachingOptions"] == {}  # not enabled
        assert task["inputs"]["parameters"]["run_id"]["runtimeValue"]["constant"] == "{{$.pipeline_job_uuid}}"


def test_each_task_launches_its_node_from_the_graph_of_that_hash(package, documents):
    sha256 = hashlib.sha256(package.graph).hexdigest()
    for node_id in graph.node_ids(package.graph):
        found = container(documents, node_id)
        assert found["image"] == DIGEST and found["command"] == ["tailgan"]
        assert found["args"] == [
            "node", "--ir", "/opt/tailgan/digits.ir.json", "--ir-sha256", sha256, "--node-id", node_id,
            "--run-id", "{{$.inputs.parameters['run_id']}}",
        ]  # fmt: skip


def test_tasks_have_the_volume_the_store_and_the_secret(package, documents):
    for node_id in graph.node_ids(package.graph):
        pod = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{node_id.lower()}"]
        assert [(each["constant"], each["mountPath"]) for each in pod["pvcMount"]] == [("claim", "/data")]
        (secret,) = pod["secretAsEnv"]
        assert secret["secretName"] == "tailgan-metadata"
        assert secret["keyToEnv"] == [{"secretKey": "password", "envVar": "TAILGAN_METADATA_PASSWORD"}]
        assert container(documents, node_id)["env"] == [
            {"name": "TAILGAN_METADATA_URI", "value": "mysql://tailgan@tailgan-metadata:3306/tailgan"}
        ]


def test_only_the_trainers_ask_for_an_accelerator_and_each_for_what_it_is_given(package, documents):
    for node_id in graph.node_ids(package.graph):
        asked = container(documents, node_id)["resources"]
        pod = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{node_id.lower()}"]
        assert asked["resourceCpuRequest"] == asked["resourceCpuLimit"] == "500m"
        assert asked["resourceMemoryLimit"] == ("8Gi" if node_id == "GAN" else "2Gi")
        if node_id in TRAINERS:
            assert asked["accelerator"]["resourceType"] == "nvidia.com/gpu"
            assert asked["accelerator"]["resourceCount"] == "2"
            (taint,) = pod["tolerations"]
            assert (taint["key"], taint["operator"], taint["value"], taint["effect"]) == (
                "gpu",
                "Equal",
                "a",
                "NoExecute",
            )
        else:
            assert "accelerator" not in asked and "tolerations" not in pod


def test_tasks_are_retried_as_often_as_they_are_told_to(documents):
    tasks = documents[0]["root"]["dag"]["tasks"]
    assert tasks["gan"]["retryPolicy"]["maxRetryCount"] == 5
    assert tasks["judge"]["retryPolicy"] == {
        "maxRetryCount": 2, "backoffDuration": "10s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"
    }  # fmt: skip
    assert "retryPolicy" not in tasks["pusher"]


def test_the_graph_depends_on_the_volume_and_on_nothing_else_of_the_cluster(package):
    assert compiled("kubeflow.image=tailgan", "kubeflow.pvc=other").graph == package.graph
    assert compiled("kubeflow.mount=/mnt").graph != package.graph
    assert graph.root(package.graph) == Path("/data/digits")
    assert str(HOME) not in package.graph.decode() + package.pipeline


def test_older_runs_are_removed_by_a_task_after_all_others_that_is_no_node():
    package = compiled("retention.runs=3", *OVERRIDES)
    documents = list(yaml.safe_load_all(package.pipeline))
    task = documents[0]["root"]["dag"]["tasks"]["clean"]
    nodes = graph.node_ids(package.graph)
    assert task["dependentTasks"] == sorted(each.lower() for each in nodes) and "inputs" not in task
    found = container(documents, "clean")
    assert found["args"] == ["clean", "--root", "/data/digits", "--keep", "3", "--yes"]
    assert found["env"] == container(documents, "GAN")["env"] and found["image"] == DIGEST
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-clean"] == executors["exec-evaluator"]  # the volume and the secret
    assert task["retryPolicy"]["maxRetryCount"] == 2


def test_an_image_without_a_digest_is_warned_of(package):
    assert package.warnings == ()
    (warning,) = compiled("kubeflow.image=registry.example/tailgan:0.1").warnings
    assert warning.startswith("where kubeflow.image is: `kubeflow.image`: registry.example/tailgan:0.1 names no digest")


def test_an_unknown_node_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        compiled("kubeflow.nodes={Gan: {cpu: 1}}")
    assert "where kubeflow.nodes.Gan is" in str(caught.value)
    assert "no node `Gan`; nodes: ExampleGen, StatisticsGen" in str(caught.value)


def test_names_that_would_be_one_task_are_refused():
    assert sanitized("Fashion_MNIST.lt") == "fashion-mnist-lt"
    with pytest.raises(ConfigError, match="nodes my_Gen and MY-gen would be one task, `my-gen`"):
        check_names(["my_Gen", "GAN", "MY-gen"])


@pytest.mark.e2e
def test_the_command_gives_equal_bytes_in_another_process_in_half_a_minute(tmp_path):
    outputs = []
    for seed in ("1", "2"):
        (folder := tmp_path / seed).mkdir()
        command = ["compile", "configs/digits.yaml", "-o", str(folder / "pipeline.yaml")]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *command],
            cwd=HOME, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of CPU, which other work on the machine changes little.
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        assert done.returncode == 0, done.stderr
        assert "names no digest" in done.stderr and "digits.ir.json  (sha256 " in done.stdout
        outputs.append([(folder / name).read_bytes() for name in ("pipeline.yaml", "digits.ir.json")])
    assert outputs[0] == outputs[1] and json.loads(outputs[0][1])
    assert seconds < 30
