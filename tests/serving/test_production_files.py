"""Files for TensorFlow Serving, Docker Compose, Kubernetes and KServe: of the right form, and for what is pushed."""

import inspect
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import tensorflow as tf
import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from components.serving_validator.options import BATCH_SIZES, ValidationOptions
from models.generator import Generator
from pipeline.config import Config, load
from serving.client import Client
from serving.config import read_batching, read_metrics_path, read_models
from tests.documents import as_kubernetes, check, check_kubernetes, read

HOME = Path(__file__).resolve().parents[2]
TF_SERVING, KUBERNETES = HOME / "serving" / "tf_serving", HOME / "kubeflow" / "serving"
NAME = Config().serving.name
IMAGE = ValidationOptions().image
# What is shipped is for the pipeline of configs/digits.yaml, on the volume where a cluster's tasks have it.
PIPELINE, CLAIM, MOUNT = load(HOME / "configs" / "digits.yaml").name, "tailgan", PurePosixPath("/data")


def flags(args: list[str]) -> dict[str, str]:
    return dict(arg.removeprefix("--").split("=", 1) for arg in args)


def test_the_model_is_the_one_that_is_pushed_and_the_newest_version_serves():
    text = (TF_SERVING / "models.config").read_text()
    (config,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert config.name == NAME and config.model_platform == "tensorflow"
    assert PurePosixPath(config.base_path) == PurePosixPath("/models") / NAME
    assert config.model_version_policy.latest.num_versions == 1


def test_batching_takes_every_batch_that_was_validated_and_no_request_of_none_ends_the_server():
    parameters = read_batching(TF_SERVING / "batching_parameters.txt")
    assert parameters.max_batch_size >= max(BATCH_SIZES) and not parameters.allowed_batch_sizes
    ways = (Client.generate, Generator.generate_png)
    of_client, of_root = (inspect.signature(way).parameters["batch_size"].default for way in ways)
    assert parameters.max_batch_size >= of_client == of_root  # equal images, to the byte, of a root and its endpoint


def test_prometheus_looks_where_the_metrics_are():
    path = read_metrics_path(TF_SERVING / "monitoring.config")
    (job,) = read(TF_SERVING / "prometheus.yml")["scrape_configs"]
    check(job, {"job_name": str, "metrics_path": r"/.*", "static_configs": [{"targets": [r"[a-z-]+:\d+"]}]})
    services = read(TF_SERVING / "docker-compose.yaml")["services"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert job["metrics_path"] == path and port == flags(services[host]["command"])["rest_api_port"]
    annotations = as_kubernetes(read(KUBERNETES / "deployment.yaml"), "V1Deployment").spec.template.metadata.annotations
    assert annotations["prometheus.io/path"] == path and annotations["prometheus.io/port"] == port


# The keys used of the Compose Specification, schema/compose-spec.json (github.com/compose-spec/compose-spec).
PORT, MOUNTED = r"127\.0\.0\.1:\d+:\d+", r"[^:]+(:\?[^}]*\}[^:]*)?:/[^:]+:ro"
SERVICE = {
    "image": r"[a-z/]+:v?[\d.]+",
    "entrypoint?": [str],
    "command?": [r"--\w+=.+"],
    "init?": bool,
    "ports": [PORT],
    "volumes": [MOUNTED],
    "healthcheck?": {"test": [str], "interval": r"\d+s", "timeout": r"\d+s", "retries": int},
    "mem_limit?": r"\d+g",
    "restart": r"unless-stopped",
}


def test_compose_mounts_what_the_server_is_told_to_read():
    compose = read(TF_SERVING / "docker-compose.yaml")
    check(compose, {"services": {"tensorflow-serving": SERVICE, "prometheus": SERVICE}})
    server, prometheus = compose["services"]["tensorflow-serving"], compose["services"]["prometheus"]
    assert server["image"] == IMAGE and server["mem_limit"] == "4g"
    mounted = dict(volume.removesuffix(":ro").rsplit(":", 1)[::-1] for volume in server["volumes"])
    assert mounted["/models"].endswith("/serving") and "TAILGAN_ROOT" in mounted["/models"]
    files = {flag: path for flag, path in flags(server["command"]).items() if flag.endswith("_file")}
    assert len(files) == 3
    for path in [*files.values()]:
        assert (TF_SERVING / mounted[path]).is_file()
    (volume,) = prometheus["volumes"]
    assert (TF_SERVING / volume.split(":")[0]).is_file()
    assert {port.split(":")[1] for port in server["ports"]} == {
        flags(server["command"])[flag] for flag in ("port", "rest_api_port")
    }


def test_compose_asks_for_the_health_of_the_model_that_is_served():
    health = read(TF_SERVING / "docker-compose.yaml")["services"]["tensorflow-serving"]["healthcheck"]["test"]
    assert f"GET /v1/models/{NAME}/metadata " in health[-1]
    assert health[:3] == ["CMD", "bash", "-c"]
    assert subprocess.run(["bash", "-n", "-c", health[-1]], check=False).returncode == 0


def test_the_deployment_serves_what_the_pusher_writes_on_the_volume():
    from pipeline.build import serving_dir

    spec = as_kubernetes(read(KUBERNETES / "deployment.yaml"), "V1Deployment").spec
    assert spec.selector.match_labels.items() <= spec.template.metadata.labels.items()
    pod = spec.template.spec
    (container,) = pod.containers
    given = flags(container.args)
    assert container.image == IMAGE and given["model_name"] == NAME
    assert given["model_base_path"] == serving_dir(str(MOUNT / PIPELINE), Config())
    mounts = {mount.name: mount for mount in container.volume_mounts}
    volumes = {volume.name: volume for volume in pod.volumes}
    assert mounts.keys() == volumes.keys() and all(mount.read_only for mount in mounts.values())
    assert volumes["data"].persistent_volume_claim.claim_name == CLAIM and mounts["data"].mount_path == str(MOUNT)
    generated = read(TF_SERVING / "kustomization.yaml")["configMapGenerator"][0]
    assert generated["name"] == volumes["config"].config_map.name
    for flag in ("batching_parameters_file", "monitoring_config_file"):
        path = PurePosixPath(given[flag])
        assert str(path.parent) == mounts["config"].mount_path and path.name in generated["files"]


def test_the_deployment_has_probes_of_its_own_ports_and_limits_that_were_validated():
    (container,) = as_kubernetes(read(KUBERNETES / "deployment.yaml"), "V1Deployment").spec.template.spec.containers
    ports = {port.name: str(port.container_port) for port in container.ports}
    given = flags(container.args)
    assert ports == {"grpc": given["port"], "http": given["rest_api_port"]}
    assert container.readiness_probe.http_get.path == f"/v1/models/{NAME}/metadata"
    assert container.liveness_probe.http_get.path == read_metrics_path(TF_SERVING / "monitoring.config")
    assert container.startup_probe.tcp_socket.port == "http"
    assert {probe.http_get.port for probe in (container.readiness_probe, container.liveness_probe)} == {"http"}
    limit = container.resources.limits["memory"]
    assert limit == f"{ValidationOptions().max_memory_mb / 1024:g}Gi"
    security = container.security_context
    assert security.capabilities.drop == ["ALL"] and security.read_only_root_filesystem
    assert security.allow_privilege_escalation is False


def test_the_service_finds_the_pods_and_their_ports():
    service = as_kubernetes(read(KUBERNETES / "service.yaml"), "V1Service").spec
    deployment = as_kubernetes(read(KUBERNETES / "deployment.yaml"), "V1Deployment").spec.template
    assert service.selector.items() <= deployment.metadata.labels.items()
    ports = {port.name for port in deployment.spec.containers[0].ports}
    assert {port.target_port for port in service.ports} == ports
    assert {port.port for port in service.ports} == {8500, 8501}


def test_kustomize_finds_every_file_and_no_other_is_there():
    kustomization = read(KUBERNETES / "kustomization.yaml")
    api = r"kustomize\.config\.k8s\.io/v1beta1"
    check(kustomization, {"apiVersion": api, "kind": "Kustomization", "resources": [str], "labels": list})
    assert all((KUBERNETES / resource).exists() for resource in kustomization["resources"])
    assert {path.name for path in KUBERNETES.iterdir()} == {
        "kustomization.yaml", "inferenceservice.yaml",
        *(resource for resource in kustomization["resources"] if resource.endswith(".yaml")),
    }  # fmt: skip
    if shutil.which("kubectl"):
        done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, check=False)
        built = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}
        assert built.keys() == {"ConfigMap", "Deployment", "Service"}, done.stderr
        (config,) = (v for v in built["Deployment"]["spec"]["template"]["spec"]["volumes"] if "configMap" in v)
        assert config["configMap"]["name"] == built["ConfigMap"]["metadata"]["name"]


# The keys used of KServe's v1beta1 InferenceService: PredictorSpec and ModelSpec of pkg/apis/serving/v1beta1
# (github.com/kserve/kserve); what a container has is Kubernetes' own.
INFERENCE_SERVICE = {
    "apiVersion": r"serving\.kserve\.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": r"[a-z][a-z0-9-]*"},
    "spec": {
        "predictor": {
            "minReplicas": int,
            "maxReplicas": int,
            "model": {
                "modelFormat": {"name": "tensorflow"},
                "runtime": "kserve-tensorflow-serving",
                "runtimeVersion": r"[\d.]+",
                "protocolVersion": "v1",
                "storageUri": r"pvc://.+",
                "readinessProbe": dict,
                "resources": dict,
            },
        }
    },
}


def test_kserve_serves_the_same_of_the_same_volume():
    from pipeline.build import serving_dir

    document = read(KUBERNETES / "inferenceservice.yaml")
    check(document, INFERENCE_SERVICE)
    model = document["spec"]["predictor"]["model"]
    check_kubernetes(model["readinessProbe"], "V1Probe")
    check_kubernetes(model["resources"], "V1ResourceRequirements")
    assert document["metadata"]["name"] == NAME  # by which KServe's runtime names the model
    pushed = PurePosixPath(serving_dir(str(MOUNT / PIPELINE), Config())).relative_to(MOUNT)
    assert model["storageUri"] == f"pvc://{CLAIM}/{pushed}"
    assert model["runtimeVersion"] == IMAGE.rpartition(":")[2]
    assert model["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{NAME}/metadata"


class Echo(tf.Module):
    """A model to serve."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="label")])
    def __call__(self, label):
        return {"status": tf.strings.as_string(label)}


def test_the_local_endpoint_starts_with_the_files_that_are_shipped(tmp_path, start_server):
    base = tmp_path / "models" / NAME
    echo = Echo()
    tf.saved_model.save(echo, str(base / "1"), signatures=echo.__call__)
    models = tmp_path / "models.config"
    models.write_text((TF_SERVING / "models.config").read_text().replace("/models/", f"{tmp_path}/models/"))
    assert read_models(models)[NAME].base_path == base
    compose = read(TF_SERVING / "docker-compose.yaml")["services"]["tensorflow-serving"]
    shipped = {**flags(compose["command"]), "model_config_file": str(models)}
    given = [
        f"--{flag}={value.replace('/config/', f'{TF_SERVING}/')}"
        for flag, value in shipped.items()
        if flag not in ("port", "rest_api_port")
    ]
    assert len(given) == 4
    server = start_server(*given)
    server.wait_for(NAME)
    assert server.ask("GET", f"/v1/models/{NAME}/metadata").status == 200
    answer = server.ask("POST", f"/v1/models/{NAME}:predict", b'{"instances": [{"label": 7}]}')
    assert answer.status == 200 and b'"7"' in answer.body
    metrics = server.ask("GET", read_metrics_path(TF_SERVING / "monitoring.config"))
    assert metrics.status == 200 and NAME.encode() in metrics.body
    # The test of its health, as Docker makes it.
    port = server.rest.rpartition(":")[2]
    health = compose["healthcheck"]["test"][1:]
    assert subprocess.run([*health[:-1], health[-1].replace("8501", port)], check=False).returncode == 0
    wrong = health[-1].replace("8501", port).replace(NAME, "nobody")
    assert subprocess.run([*health[:-1], wrong], check=False).returncode != 0
