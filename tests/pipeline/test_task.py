"""What `tailgan node` refuses before it loads TFX. tests/e2e/test_kubeflow.py has whole runs of nodes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline import metadata

HOME = Path(__file__).parent.parent.parent


@pytest.fixture
def graph(tmp_path):
    """A graph as far as it is read before TFX is loaded."""
    root = {"runtime_parameter": {"default_value": {"string_value": str(tmp_path / "root" / "artifacts")}}}
    nodes = [{"pipeline_node": {"node_info": {"id": each}}} for each in ("ExampleGen", "GAN")]
    path = tmp_path / "digits.ir.json"
    args = [{"value": {"string_value": arg}} for arg in ("--runner=PortableRunner", "--job_endpoint=nowhere.invalid:1")]
    graph = {
        "nodes": nodes, "runtime_spec": {"pipeline_root": root}, "pipeline_info": {"id": "digits"},
        "deployment_config": {"executor_specs": {"ExampleGen": {"beam_pipeline_args_placeholders": args}, "GAN": {}}},
    }  # fmt: skip
    path.write_text(json.dumps(graph))
    return path


def node(graph, node_id="GAN", sha256=None, **environ):
    """`tailgan node`, where neither Beam nor TFX can be imported."""
    sha256 = sha256 or hashlib.sha256(graph.read_bytes()).hexdigest()
    args = ["node", "--ir", str(graph), "--ir-sha256", sha256, "--node-id", node_id, "--run-id", "run"]
    program = (
        "import sys\nsys.modules['apache_beam'] = sys.modules['tfx'] = None\n"
        f"from pipeline import cli\nsys.exit(cli.main({args!r}))"
    )
    env = {"PYTHONPATH": str(HOME), "PATH": os.environ["PATH"], **environ}
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and not done.stdout
    return done.returncode, done.stderr


def test_another_graph_than_the_one_compiled_is_refused(graph):
    sha256 = hashlib.sha256(graph.read_bytes()).hexdigest()
    graph.write_text(graph.read_text().replace("GAN", "VAE"))
    code, told = node(graph, sha256=sha256)
    assert code == 2 and "not the graph that this pipeline was compiled from" in told and sha256 in told


def test_a_graph_that_is_not_in_the_image_is_told(graph, tmp_path):
    code, told = node(tmp_path / "none.json", sha256="0")
    assert code == 2 and "none.json: the compiled graph cannot be read: No such file or directory" in told


def test_an_unknown_node_is_refused_with_the_known_ones(graph):
    code, told = node(graph, node_id="Gan")
    assert code == 2 and "--node-id Gan: no such node;" in told and "has ExampleGen, GAN" in told


def test_a_store_that_is_not_named_is_refused_though_all_else_is_well(graph, tmp_path):
    code, told = node(graph)
    assert code == 2 and "TAILGAN_METADATA_URI is not set" in told
    assert json.loads((tmp_path / "root" / "root.json").read_text())["format"] == 1


def test_a_store_that_cannot_be_reached_is_refused(graph):
    code, told = node(graph, TAILGAN_METADATA_URI="mysql://a@nowhere.invalid/store")
    assert code == 2 and "nowhere.invalid:3306 cannot be reached" in told


def test_a_job_server_that_cannot_be_reached_is_refused_to_the_nodes_that_use_it(graph, tmp_path):
    environ = {"TAILGAN_METADATA_URI": f"sqlite:///{tmp_path / 'store.db'}"}
    code, told = node(graph, node_id="ExampleGen", **environ)
    assert code == 2 and "job server: nowhere.invalid:1 cannot be reached: no such host" in told
    assert "import of apache_beam halted" in node(graph, **environ)[1]


def test_a_volume_that_cannot_be_written_is_refused(graph, tmp_path):
    (tmp_path / "root").write_text("no folder")
    code, told = node(graph)
    assert code == 2 and f"{tmp_path}/root: cannot be written" in told


def test_a_volume_of_a_newer_version_is_refused(graph, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "root.json").write_text(json.dumps({"format": 99, "tailgan": "9.0"}))
    code, told = node(graph)
    assert code == 2 and "made by tailgan 9.0 in format 99" in told


def test_artifacts_of_another_store_are_set_aside_and_those_of_this_one_stay(graph, tmp_path):
    store = tmp_path / "store.db"
    environ = {"TAILGAN_METADATA_URI": f"sqlite:///{store}"}
    (artifacts := tmp_path / "root" / "artifacts").mkdir(parents=True)
    assert "import of apache_beam halted" in node(graph, **environ)[1]  # it comes to that when all else is well
    assert not artifacts.exists() and (tmp_path / "root" / "artifacts.old-1").is_dir()

    connection = metadata.connect(environ)
    mlmd = ml_metadata.MetadataStore(connection)
    kind = mlmd.put_context_type(metadata_store_pb2.ContextType(name="pipeline"))
    mlmd.put_contexts([metadata_store_pb2.Context(type_id=kind, name="digits")])
    artifacts.mkdir()
    node(graph, **environ)
    assert artifacts.is_dir()
