"""The image of the tasks: built from kubeflow/Dockerfile without Docker (image.py), and its program run in it."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from pipeline.graph import sha256
from tests.e2e.emulator import Cluster, Emulator
from tests.e2e.image import PYTHON, Builder, BuildFailed, can_build, sent

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parent.parent.parent
DOCKERFILE = (HOME / "kubeflow" / "Dockerfile").read_text()
DOCKERIGNORE = (HOME / ".dockerignore").read_text()
IMAGE = f"registry.example/tailgan@sha256:{'0' * 64}"
SETTINGS = (
    "gan.steps=20",
    "classifier.steps=20",
    "gate.samples_per_class=20",
    "gate.rules=[label_agreement >= 0]",  # so that it is pushed
)
# Size of python:3.11-slim-bookworm, rounded up.
BASE_BYTES = 150e6
NOBODY = "65534:65534"
# Of the libraries there, those of C, C++ and zlib.
SLIM = ("c.so.6", "dl.so.2", "gcc_s.so.1", "m.so.6", "pthread.so.0", "rt.so.1", "stdc++.so.6", "z.so.1")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder for the stages, which are large and so do not stay."""
    if f"FROM {PYTHON}-" not in DOCKERFILE:
        pytest.skip(f"the image has another Python than this one, {PYTHON}")
    if not can_build():
        pytest.skip("mounts need root, and a machine that lets it: the image cannot be built here")
    folder = tmp_path_factory.mktemp("image")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def context(work, zygote):
    """What a daemon would be sent of this project, after `tailgan compile` in it; `pipeline.yaml` is beside."""
    (folder := work / "context").mkdir()

    def left_out(of, names):
        return [name for name in names if not sent(str((Path(of) / name).relative_to(HOME)), DOCKERIGNORE)]

    for path in HOME.iterdir():
        if path.is_file() and sent(path.name, DOCKERIGNORE):
            shutil.copy2(path, folder)
        elif path.is_dir() and sent(path.name, DOCKERIGNORE):
            shutil.copytree(path, folder / path.name, ignore=left_out)
    sets = (
        *SETTINGS, f"kubeflow.image={IMAGE}", f"kubeflow.mount={work}/data", "kubeflow.metadata_secret=null",
        f"kubeflow.metadata_uri=sqlite:///{work}/data/metadata.db", "kubeflow.defaults={retries: 0}",
    )  # fmt: skip
    args = ["compile", str(HOME / "configs" / "digits.yaml"), "-o", str(work / "pipeline.yaml")]
    assert zygote.wait(zygote.start([*args, *(part for each in sets for part in ("--set", each))], work)) == 0
    assert sent("digits.ir.json", DOCKERIGNORE)
    shutil.copy2(work / "digits.ir.json", folder)
    return folder


@pytest.fixture(scope="module")
def builder(work, context):
    """Builds the image, or a Dockerfile made from its own, with the hash that the graph must have."""

    def build(name, ir_sha256, dockerfile=DOCKERFILE):
        cache = Path.home() / ".cache" / "uv"
        cache.mkdir(parents=True, exist_ok=True)
        made = Builder(context, work / name, cache, IR="digits.ir.json", IR_SHA256=ir_sha256)
        try:
            return made.build(dockerfile)
        except BuildFailed as failure:
            if "No matching distribution found for uv" in str(failure):
                pytest.skip("no package registry can be reached")
            raise

    return build


@pytest.fixture(scope="module")
def image(builder, context):
    built = builder("built", sha256((context / "digits.ir.json").read_bytes()))
    # What runs has nothing but its own stage.
    shutil.rmtree(built.root.parent / "build")
    return built


@pytest.fixture
def volume(work):
    """An empty volume, writable for the image's user; its place is that of `kubeflow.mount`."""
    folder = work / "volume"
    folder.mkdir()
    shutil.chown(folder, 1000, 1000)
    yield folder
    shutil.rmtree(folder)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def canonical(name):
    return re.sub(r"[-_.]+", "-", name.lower())


def packages(image):
    """{name: version}."""
    found = {}
    folders = [*(image.root / "opt").glob("venv/lib/python*/site-packages"), image.root / "opt" / "tailgan" / "program"]
    for path in (path for folder in folders for path in folder.glob("*.dist-info/METADATA")):
        head = path.read_text(encoding="utf-8", errors="replace")
        name = re.search(r"^Name: (\S+)", head, re.MULTILINE)[1]
        found[canonical(name)] = re.search(r"^Version: (\S+)", head, re.MULTILINE)[1]
    return found


def test_it_holds_the_locked_packages_but_those_of_tests_and_builds(image):
    locked = defaultdict(set)
    for line in (HOME / "requirements.txt").read_text().splitlines():
        name, _, version = line.partition(" ;")[0].partition("==")
        locked[canonical(name)].add(version)
    found = packages(image)
    assert found.pop("tailgan") and found.pop("tensorflow-cpu") in locked["tensorflow"]
    assert {name: version for name, version in found.items() if version not in locked[name]} == {}
    assert not {"pytest", "hypothesis", "mypy", "ruff", "types-pyyaml", "pip", "uv", "tensorflow"} & found.keys()
    site = next((image.root / "opt" / "venv" / "lib").glob("python*/site-packages"))
    assert not (site / "tensorflow" / "include").exists()


def test_it_is_below_three_and_a_half_gigabytes(image):
    size = image.size() + BASE_BYTES
    print(f"{size / 1e9:.2f} GB, with {BASE_BYTES / 1e9} for the base")
    assert 1e9 < size < 3.5e9


def test_what_is_compiled_asks_its_base_for_no_more_than_it_has(image):
    """The machine that stands in for the base has more libraries than python:3.11-slim."""
    if not shutil.which("readelf"):
        pytest.skip("no readelf on this machine; the package is binutils")
    files = [path for path in (image.root / "opt").rglob("*.so*") if path.is_file()]
    told = subprocess.run(["readelf", "-d", *map(str, files)], capture_output=True, text=True).stdout
    wanted = set(re.findall(r"\(NEEDED\).*\[(.+)\]", told)) - {path.name for path in files}
    assert wanted - {f"lib{name}" for name in SLIM} == {"ld-linux-x86-64.so.2"}


def test_its_labels_tell_the_graph_that_it_holds(image, context):
    labels = image.labels
    assert labels["tailgan.ir"] == "digits.ir.json"
    assert labels["tailgan.ir.sha256"] == sha256((image.root / "opt" / "tailgan" / "digits.ir.json").read_bytes())
    assert labels["org.opencontainers.image.title"] == "tailgan"


def test_a_graph_with_another_hash_is_no_part_of_an_image(builder):
    last = re.sub(r"COPY --from.*\n", "", DOCKERFILE[DOCKERFILE.rindex("FROM ") :])
    for wrong in ("0" * 64, ""):
        with pytest.raises(BuildFailed, match="sha256sum"):
            builder(f"wrong{len(wrong)}", wrong, last)


@pytest.mark.parametrize("user", ["", NOBODY])
def test_its_program_runs_as_any_user_and_writes_nothing_into_the_image(image, user):
    assert image.user.split(":")[0] not in ("0", "root")
    done = image.run([*image.entrypoint, "--version"], user=user)
    assert done.returncode == 0 and done.stdout.startswith("tailgan "), done.stderr
    who = image.run(["sh", "-c", "id -u; id -G; touch /opt/venv/mine /opt/tailgan/mine; echo $?"], user=user)
    assert who.stdout.split() == [*(user or image.user).split(":"), "1"], who.stderr
    assert image.run([*image.entrypoint, *image.command]).stdout.startswith("usage: tailgan")


def test_nothing_is_wrong_with_what_is_installed(image):
    """TensorFlow, TFX and Beam are loaded from there and compute."""
    done = image.run([*image.entrypoint, "doctor", "--json"], user=NOBODY)
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert found["imports"]["state"] == "ok" and found["packages"]["state"] != "bad", found


def test_tensorboard_starts_in_it_as_the_manifest_says(image, volume):
    manifest = (HOME / "kubeflow" / "manifests" / "base" / "tensorboard.yaml").read_text()
    (deployment,) = (each for each in yaml.safe_load_all(manifest) if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    port = free_port()
    command = [*container["command"], *(arg.replace("6006", str(port)) for arg in container["args"])]
    url = f"http://127.0.0.1:{port}{container['readinessProbe']['httpGet']['path']}"
    server = subprocess.Popen(image.argv(command, volumes={"/data": volume}), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(url, timeout=10) as page:
                    assert page.status == 200
                    break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.5)
    finally:
        server.terminate()
        told = server.communicate()[1]
    assert "TensorBoard" in told


def test_it_compiles_to_the_graph_that_it_holds(image, work, context, volume):
    """So sources and configuration are those that the pipeline was compiled from, and nothing of them is missing."""
    shutil.copy2(HOME / "configs" / "digits.yaml", volume)
    sets = (*SETTINGS, f"kubeflow.mount={work}/data")
    args = ["compile", "/work/digits.yaml", "-o", "/work/pipeline.yaml"]
    args += [part for each in sets for part in ("--set", each)]
    done = image.run([*image.entrypoint, *args], volumes={"/work": volume})
    assert done.returncode == 0, done.stderr
    assert (volume / "digits.ir.json").read_bytes() == (context / "digits.ir.json").read_bytes()


def test_a_whole_pipeline_runs_in_it(image, work, volume):
    """By the emulator, every task a process in the image, as its user."""
    running = {}

    def start(args, environment, log):
        command = image.argv([*image.entrypoint, *args], volumes={f"{work}/data": volume}, **environment)
        with log.open("w") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        running[process.pid] = process
        return process.pid

    cluster = Cluster(IMAGE, {"tailgan": volume}, {}, start, lambda pid: running[pid].poll())
    emulator = Emulator((work / "pipeline.yaml").read_text(), cluster, work)
    run = emulator.run("run-1")
    assert set(run.states.values()) == {"succeeded"}, {
        name: emulator.log(run, name)[-2000:] for name, state in run.states.items() if state == "failed"
    }
    (version,) = (volume / "digits" / "serving" / "generator").glob("[0-9]*")
    about = json.loads((version / "assets.extra" / "tailgan.json").read_text())
    assert len(about["classes"]) == 10 and version.stat().st_uid == 1000


def test_a_task_runs_on_an_engine_whose_workers_are_of_the_image(image, work, volume):
    """By Beam's own job service, with the worker pool of kubeflow/manifests/flink; neither needs pip."""
    session = yaml.safe_load((HOME / "kubeflow" / "manifests" / "flink" / "flink.yaml").read_text())
    sidecar = session["spec"]["taskManager"]["podTemplate"]["spec"]["containers"][1]
    jobs, pool = free_port(), free_port()
    commands = [
        ["python", "-m", "apache_beam.runners.portability.local_job_service_main", f"--port={jobs}"],
        [part.replace("50000", str(pool)) for part in sidecar["command"]],
    ]
    data = {f"{work}/data": volume}
    shutil.copy2(HOME / "configs" / "digits.yaml", volume)
    portable = {
        "runner": "PortableRunner", "job_endpoint": f"localhost:{jobs}", "environment_config": f"localhost:{pool}",
        "args": ["--job_server_timeout=600"],
    }  # fmt: skip
    sets = (*SETTINGS, f"kubeflow.mount={work}/data", f"beam={json.dumps(portable)}")
    args = ["compile", f"{work}/data/digits.yaml", "-o", f"{work}/data/pipeline.yaml"]
    args += [part for each in sets for part in ("--set", each)]
    done = image.run([*image.entrypoint, *args], volumes=data)
    assert done.returncode == 0, done.stderr
    ir = volume / "digits.ir.json"
    node = ["node", "--ir", f"{work}/data/{ir.name}", "--ir-sha256", sha256(ir.read_bytes()), "--node-id", "ExampleGen"]
    servers = []
    with (work / "engine.log").open("w") as log:
        try:
            servers = [
                subprocess.Popen(image.argv(command, volumes=data), stdout=log, stderr=subprocess.STDOUT)
                for command in commands
            ]
            for port in (jobs, pool):
                deadline = time.monotonic() + 120
                while not listens(port):
                    assert time.monotonic() < deadline, (work / "engine.log").read_text()
                    time.sleep(0.2)
            store = f"sqlite:///{work}/data/metadata.db"
            done = image.run([*image.entrypoint, *node, "--run-id", "1"], volumes=data, TAILGAN_METADATA_URI=store)
        finally:
            for server in servers:
                server.terminate()
                server.wait(60)
    assert done.returncode == 0, done.stderr + (work / "engine.log").read_text()
    assert "Starting worker with command" in (work / "engine.log").read_text()
    (examples,) = (volume / "digits" / "artifacts" / "ExampleGen" / "examples").iterdir()
    assert json.loads((examples / "dataset.json").read_text())["counts"]["train"] and examples.stat().st_uid == 1000
