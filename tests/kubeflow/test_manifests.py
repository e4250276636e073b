"""What a cluster needs beside a pipeline: of the right form, and for the pipeline that `tailgan compile` makes."""

import re
import shutil
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from pipeline.beam_options import BeamOptions
from pipeline.kubeflow import SECRET_KEY
from pipeline.kubeflow_options import KubeflowOptions
from pipeline.store_address import parse
from tests.documents import as_kubernetes, check, check_kubernetes, read

HOME = Path(__file__).resolve().parents[2]
MANIFESTS, SERVING = HOME / "kubeflow" / "manifests", HOME / "kubeflow" / "serving"
BASE, OVERLAY, FLINK = MANIFESTS / "base", MANIFESTS / "overlays" / "kubeflow", MANIFESTS / "flink"
OPTIONS = KubeflowOptions()
STORE = parse(OPTIONS.metadata_uri)
API = r"kustomize\.config\.k8s\.io/v1beta1"
MODELS = {
    "PersistentVolumeClaim": ("v1", "V1PersistentVolumeClaim"),
    "Service": ("v1", "V1Service"),
    "ConfigMap": ("v1", "V1ConfigMap"),
    "Job": ("batch/v1", "V1Job"),
    "Deployment": ("apps/v1", "V1Deployment"),
    "StatefulSet": ("apps/v1", "V1StatefulSet"),
}
QUANTITY = r"\d+(m|[KMGT]i)?"


def typed(document):
    """An object of Kubernetes' client, of the kind that a document says it is."""
    version, model = MODELS[document["kind"]]
    assert document["apiVersion"] == version
    return as_kubernetes(document, model)


def objects(documents):
    """{(kind, name): object of Kubernetes' client}."""
    found = {(each["kind"], each["metadata"]["name"]): typed(each) for each in documents}
    assert len(found) == len(documents)
    return found


def pods(found):
    """{name: specification of the pods that an object makes}."""
    makers = {name: each for (kind, name), each in found.items() if kind in ("Job", "Deployment", "StatefulSet")}
    return {name: each.spec.template.spec for name, each in makers.items()}


@pytest.fixture(scope="module")
def base():
    files = read(BASE / "kustomization.yaml")["resources"]
    local = [BASE / name for name in files if name.endswith(".yaml")] + [SERVING / "deployment.yaml"]
    return objects([each for path in local for each in yaml.safe_load_all(path.read_text())])


def test_every_file_is_part_of_a_kustomization_of_the_right_form():
    shape = {"apiVersion": API, "kind": "Kustomization", "resources": [str]}
    kustomization = read(BASE / "kustomization.yaml")
    check(kustomization, {**shape, "labels": list})
    assert all((BASE / name).exists() for name in kustomization["resources"])
    assert (BASE / "../../serving").resolve() == SERVING
    image = {"name": str, "newName": r"[a-z./]+", "digest": r"sha256:[0-9a-f]{64}"}
    overlay = read(OVERLAY / "kustomization.yaml")
    check(overlay, {**shape, "namespace": r"[a-z-]+", "images": [image], "patches": [{"path": r"[a-z]+\.yaml"}]})
    assert [(OVERLAY / name).resolve() for name in overlay["resources"]] == [BASE]
    named = {BASE / name for name in kustomization["resources"] if name.endswith(".yaml")}
    named |= {OVERLAY / patch["path"] for patch in overlay["patches"]}
    flink = read(FLINK / "kustomization.yaml")
    check(flink, {**shape, "namespace": overlay["namespace"], "images": [image], "labels": list})
    named |= {FLINK / name for name in flink["resources"]}
    assert {path for path in MANIFESTS.rglob("*") if path.is_file() and path.name != "kustomization.yaml"} == named


def test_what_an_overlay_patches_is_there(base):
    for patch in read(OVERLAY / "kustomization.yaml")["patches"]:
        document = read(OVERLAY / patch["path"])
        check_kubernetes(document, MODELS[document["kind"]][1])
        assert (document["kind"], document["metadata"]["name"]) in base


def test_everything_mounts_the_volume_of_the_tasks_where_they_do(base):
    assert base["PersistentVolumeClaim", OPTIONS.pvc].spec.access_modes == ["ReadWriteMany"]
    mounting = 0
    for name, pod in pods(base).items():
        volumes = {volume.name: volume for volume in pod.volumes}
        claimed = {each.metadata.name for each in base["StatefulSet", name].spec.volume_claim_templates} if (
            "StatefulSet", name) in base else set()  # fmt: skip
        for container in pod.containers:
            assert {mount.name for mount in container.volume_mounts} == volumes.keys() | claimed, name
            for mount in container.volume_mounts:
                claim = volumes[mount.name].persistent_volume_claim if mount.name in volumes else None
                if claim:
                    mounting += 1
                    assert claim.claim_name == OPTIONS.pvc and mount.mount_path == OPTIONS.mount
                    assert bool(mount.read_only) == bool(claim.read_only) == (name != "tailgan-volume")
    assert mounting == 3


def test_the_metadata_store_is_the_one_that_tasks_are_told_of(base):
    service, store = base["Service", STORE.host], base["StatefulSet", STORE.host]
    (port,) = service.spec.ports
    (container,) = store.spec.template.spec.containers
    assert port.port == STORE.port == container.ports[0].container_port
    assert store.spec.service_name == STORE.host and store.spec.replicas == 1
    env = {each.name: each for each in container.env}
    assert env["MARIADB_USER"].value == STORE.user and env["MARIADB_DATABASE"].value == STORE.database
    secret = env["MARIADB_PASSWORD"].value_from.secret_key_ref
    assert (secret.name, secret.key) == (OPTIONS.metadata_secret, SECRET_KEY)
    assert [each.value for each in container.env if "PASSWORD" in each.name] == [None, "1"]  # no password is written


def test_a_server_takes_the_flags_of_the_metadata_store(base, mariadb, tmp_path):
    (container,) = base["StatefulSet", STORE.host].spec.template.spec.containers
    known = subprocess.run(
        ["mariadbd", "--no-defaults", f"--datadir={tmp_path}", "--user=root", *container.args, "--verbose", "--help"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert known.returncode == 0, known.stderr
    assert re.search(r"^max-connections +200$", known.stdout, re.MULTILINE)


def test_the_probe_of_the_metadata_store_tells_whether_a_server_answers(base, mariadb):
    (container,) = base["StatefulSet", STORE.host].spec.template.spec.containers
    assert container.startup_probe._exec == container.readiness_probe._exec
    probe = [*container.readiness_probe._exec.command, "--no-defaults"]
    probe.insert(1, probe.pop())  # where that one must be
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]
    for port, answers in ((mariadb.port, True), (nobody, False)):
        done = subprocess.run([*probe, f"--port={port}"], capture_output=True, text=True)
        assert (done.returncode == 0) is answers, done.stderr


def test_services_find_pods_and_ports(base):
    makers = [each for each in base.values() if each.kind in ("Deployment", "StatefulSet")]
    for maker in makers:
        labels = maker.spec.template.metadata.labels
        assert maker.spec.selector.match_labels.items() <= labels.items()
    services = [each for each in base.values() if each.kind == "Service"]
    for service in services:
        (maker,) = (m for m in makers if service.spec.selector.items() <= m.spec.template.metadata.labels.items())
        ports = {port.name for container in maker.spec.template.spec.containers for port in container.ports}
        assert {port.target_port for port in service.spec.ports} <= ports
    assert {service.metadata.name for service in services} == {"tailgan-metadata", "tailgan-tensorboard"}


def test_every_container_has_limits_and_few_rights(base):
    for name, pod in pods(base).items():
        assert pod.automount_service_account_token is False
        assert pod.security_context.seccomp_profile.type == "RuntimeDefault"
        # One gives the volume to its user, for which it must be root, and may do that alone.
        is_root, may = (True, ["CHOWN"]) if name == "tailgan-volume" else (False, None)
        assert (pod.security_context.run_as_user == 0) is is_root
        assert bool(pod.security_context.run_as_non_root) is not is_root
        for container in pod.containers:
            assert container.resources.requests.keys() == {"cpu", "memory"} and "memory" in container.resources.limits
            for each in (*container.resources.requests.values(), *container.resources.limits.values()):
                assert re.fullmatch(QUANTITY, each), each
            security = container.security_context
            assert security.capabilities.drop == ["ALL"] and security.capabilities.add == may
            assert security.read_only_root_filesystem and security.allow_privilege_escalation is False


def test_what_stays_has_probes_of_ports_that_it_has(base):
    for (kind, name), each in base.items():
        if kind not in ("Deployment", "StatefulSet"):
            continue
        (container,) = each.spec.template.spec.containers
        ports = {port.name for port in container.ports}
        probes = (container.startup_probe, container.readiness_probe, container.liveness_probe)
        assert all(probes), name
        for probe in probes:
            way = probe.http_get or probe.tcp_socket
            assert way.port in ports if way else probe._exec.command


def test_the_user_of_the_image_is_the_one_that_owns_the_volume(base):
    (user,) = re.findall(r"^USER (.+)$", (HOME / "kubeflow" / "Dockerfile").read_text(), re.MULTILINE)
    (container,) = base["Job", "tailgan-volume"].spec.template.spec.containers
    assert container.command == ["chown", user, OPTIONS.mount]
    board = base["Deployment", "tailgan-tensorboard"].spec.template.spec
    assert f"{board.security_context.run_as_user}:{board.security_context.run_as_group}" == user


def test_kustomize_builds_the_overlay():
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine, which has kustomize")
    done = subprocess.run(["kubectl", "kustomize", str(OVERLAY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = objects([*yaml.safe_load_all(done.stdout)])
    assert {kind for kind, _ in built} == MODELS.keys() and len(built) == 9
    overlay = read(OVERLAY / "kustomization.yaml")
    assert {each.metadata.namespace for each in built.values()} == {overlay["namespace"]}
    assert all(each.metadata.labels["app.kubernetes.io/part-of"] == "tailgan" for each in built.values())
    (image,) = overlay["images"]
    of_tasks = {container.image for pod in pods(built).values() for container in pod.containers}
    assert of_tasks == {"mariadb:10.11", "tensorflow/serving:2.16.1", f"{image['newName']}@{image['digest']}"}
    claim = built["PersistentVolumeClaim", OPTIONS.pvc].spec
    assert claim.storage_class_name == "nfs" and claim.access_modes == ["ReadWriteMany"]
    assert claim.resources.requests["storage"] == "200Gi"


@pytest.fixture(scope="module")
def session():
    """The FlinkDeployment, held to the part of its CRD that is used, and the pods that it makes of TaskManagers."""
    document = read(FLINK / "flink.yaml")
    resource = {"cpu": float, "memory": r"\d+m"}  # megabytes, as Flink writes them
    check(
        document,
        {
            "apiVersion": r"flink\.apache\.org/v1beta1",
            "kind": "FlinkDeployment",
            "metadata": {"name": r"[a-z-]+"},
            "spec": {
                "image": r"flink:1\.\d+-java\d+",
                "flinkVersion": r"v1_\d+",
                "serviceAccount": "flink",
                "flinkConfiguration": dict,
                "jobManager": {"resource": resource},
                "taskManager": {"resource": resource, "podTemplate": {"spec": dict}},
            },
        },
    )
    assert all(isinstance(value, str) for value in document["spec"]["flinkConfiguration"].values())
    return document, as_kubernetes(document["spec"]["taskManager"]["podTemplate"], "V1PodTemplateSpec").spec


@pytest.fixture(scope="module")
def job_server():
    return objects([*yaml.safe_load_all((FLINK / "job-server.yaml").read_text())])


def locked(name):
    """Version of a package for the Python of the image."""
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim", (HOME / "kubeflow" / "Dockerfile").read_text(), re.MULTILINE)
    lines = (HOME / "requirements.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.startswith(f"{name}==")]
    (mine,) = (each for each in found if not each.marker or each.marker.evaluate({"python_full_version": python}))
    return str(mine.specifier).removeprefix("==")


def test_the_job_server_is_of_the_versions_of_beam_and_of_flink(session, job_server):
    document, _ = session
    (container,) = job_server["Deployment", "tailgan-beam-jobs"].spec.template.spec.containers
    flink = document["spec"]["flinkVersion"].removeprefix("v").replace("_", ".")
    assert document["spec"]["image"].startswith(f"flink:{flink}-")
    assert container.image == f"apache/beam_flink{flink}_job_server:{locked('apache-beam')}"
    # The service that Flink makes of its JobManager.
    assert f"--flink-master={document['metadata']['name']}-rest:8081" in container.args


def test_the_options_in_the_documentation_are_those_of_flink_as_it_is_here(session, job_server):
    _, pod = session
    blocks = re.findall(r"```yaml\n(.*?)```", (HOME / "docs" / "beam.md").read_text(), re.DOTALL)
    beam, _ = (BeamOptions.model_validate(yaml.safe_load(textwrap.dedent(text))["beam"]) for text in blocks)
    service = job_server["Service", "tailgan-beam-jobs"]
    ports = {port.name: port.port for port in service.spec.ports}
    assert beam.job_endpoint == f"{service.metadata.name}:{ports['jobs']}"
    assert f"--artifact_endpoint={service.metadata.name}:{ports['artifacts']}" in beam.args
    (port,) = pod.containers[1].ports
    assert (beam.environment_type, beam.environment_config) == ("EXTERNAL", f"localhost:{port.container_port}")
    assert f"--service_port={port.container_port}" in pod.containers[1].command


def test_a_worker_is_the_image_of_the_tasks_with_their_volume_where_they_have_it(session, base):
    _, pod = session
    main, worker = pod.containers
    assert main.name == "flink-main-container" and main.image is None
    assert worker.image == base["Deployment", "tailgan-tensorboard"].spec.template.spec.containers[0].image
    volumes = {volume.name: volume for volume in pod.volumes}
    (data,) = (mount for mount in worker.volume_mounts if volumes[mount.name].persistent_volume_claim)
    assert volumes[data.name].persistent_volume_claim.claim_name == OPTIONS.pvc
    assert data.mount_path == OPTIONS.mount and not data.read_only
    (user,) = re.findall(r"^USER (.+)$", (HOME / "kubeflow" / "Dockerfile").read_text(), re.MULTILINE)
    assert f"{worker.security_context.run_as_user}:{worker.security_context.run_as_group}" == user


def test_a_job_server_is_found_has_probes_limits_and_few_rights(session, job_server):
    deployment, service = job_server["Deployment", "tailgan-beam-jobs"], job_server["Service", "tailgan-beam-jobs"]
    pod = deployment.spec.template.spec
    assert service.spec.selector == deployment.spec.selector.match_labels == deployment.spec.template.metadata.labels
    (server,) = pod.containers
    ports = {port.name: port.container_port for port in server.ports}
    assert ports == {port.target_port: port.port for port in service.spec.ports}
    probes = (server.startup_probe, server.readiness_probe, server.liveness_probe)
    assert all(probe.tcp_socket.port in ports for probe in probes)
    assert pod.security_context.run_as_non_root and pod.automount_service_account_token is False
    for container in (server, session[1].containers[1]):
        security = container.security_context
        assert container.resources.requests.keys() == {"cpu", "memory"} and "memory" in container.resources.limits
        assert security.capabilities.drop == ["ALL"]
        assert security.read_only_root_filesystem and security.allow_privilege_escalation is False


def test_the_job_server_is_for_its_namespace_and_worker_pools_for_their_session(session, job_server):
    documents = [*yaml.safe_load_all((FLINK / "network.yaml").read_text())]
    assert {(each["apiVersion"], each["kind"]) for each in documents} == {("networking.k8s.io/v1", "NetworkPolicy")}
    workers, jobs = (as_kubernetes(each, "V1NetworkPolicy").spec for each in documents)
    name = session[0]["metadata"]["name"]
    assert workers.pod_selector.match_labels == {"app": name, "component": "taskmanager"}
    (peers,) = (rule._from for rule in workers.ingress)
    assert [peer.pod_selector.match_labels for peer in peers] == [{"app": name}]
    server = job_server["Deployment", "tailgan-beam-jobs"]
    assert jobs.pod_selector.match_labels == server.spec.template.metadata.labels
    assert all(peer.namespace_selector is None for rule in (*workers.ingress, *jobs.ingress) for peer in rule._from)


def test_kustomize_puts_the_image_into_the_session_too():
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine, which has kustomize")
    done = subprocess.run(["kubectl", "kustomize", str(FLINK)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (session,) = (each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "FlinkDeployment")
    (image,) = read(FLINK / "kustomization.yaml")["images"]
    worker = session["spec"]["taskManager"]["podTemplate"]["spec"]["containers"][1]
    assert worker["image"] == f"{image['newName']}@{image['digest']}"
    assert session["metadata"]["namespace"] == "kubeflow"
