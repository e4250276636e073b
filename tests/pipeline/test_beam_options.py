"""What runs the Beam parts: what is refused, and what reaches which node. tests/e2e/test_portable.py runs on it."""

import json
import socket

import pytest

from pipeline import graph, preflight
from pipeline.beam_options import host_and_port, job_endpoint
from pipeline.config import ConfigError, load
from pipeline.kubeflow import compile

BEAM = {"ExampleGen", "StatisticsGen", "Rebalancer", "Evaluator"}
PORTABLE = "beam={runner: PortableRunner, job_endpoint: 'jobs:8099', environment_config: 'localhost:50000'}"
DIRECT = ["--runner=DirectRunner", "--direct_num_workers=1", "--direct_running_mode=in_memory"]


def options(*overrides):
    return load("configs/digits.yaml", overrides).beam


def refused(override):
    with pytest.raises(ConfigError) as caught:
        options(override)
    return str(caught.value).removeprefix(f"--set {override}: ")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("beam={}", DIRECT),
        ("beam={direct_num_workers: 0, direct_running_mode: multi_processing}",
         ["--runner=DirectRunner", "--direct_num_workers=0", "--direct_running_mode=multi_processing"]),
        (PORTABLE, ["--runner=PortableRunner", "--job_endpoint=jobs:8099", "--environment_type=EXTERNAL",
                    "--environment_config=localhost:50000"]),
        ("beam={runner: PortableRunner, job_endpoint: '[::1]:1', environment_type: LOOPBACK, args: [--parallelism=4]}",
         ["--runner=PortableRunner", "--job_endpoint=[::1]:1", "--environment_type=LOOPBACK", "--parallelism=4"]),
        ("beam={runner: DataflowRunner, args: [--region=here, --job_endpoint=none]}",
         ["--runner=DataflowRunner", "--region=here", "--job_endpoint=none"]),
    ],
)  # fmt: skip
def test_each_runner_is_given_its_own_options_and_the_further_ones(override, expected):
    assert options(override).pipeline_args() == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("beam={runner: PortableRunner}", "`beam`: runner PortableRunner needs `beam.job_endpoint`, host:port of a"),
        ("beam={runner: PortableRunner, job_endpoint: 'a:1'}",
         "`beam`: `beam.environment_type: EXTERNAL` needs `beam.environment_config`"),
        ("beam={runner: PortableRunner, job_endpoint: 'a:1', environment_type: LOOPBACK, environment_config: 'b:2'}",
         "`beam`: `beam.environment_type: LOOPBACK` does not go with `beam.environment_config`"),
        ("beam={runner: PortableRunner, job_endpoint: 'a:1', environment_config: apache/beam_python3.11_sdk}",
         "`beam.environment_config`: an address is host:port, such as localhost:8099, not 'apache/beam_python3."),
        ("beam.job_endpoint=http://a:1", "`beam.job_endpoint`: an address is host:port, such as localhost:8099, not"),
        ("beam.job_endpoint='a:1'", "`beam`: `beam.job_endpoint` is for PortableRunner, not for `beam.runner: Direct"),
        ("beam={runner: SparkRunner, direct_num_workers: 2}",
         "`beam`: `beam.direct_num_workers` is for DirectRunner, not for `beam.runner: SparkRunner`"),
        ("beam.args=[--runner=FlinkRunner]", "`beam`: `--runner=FlinkRunner` in `beam.args` has a key of its own"),
        ("beam.args=[--direct_num_workers, '2']", "`beam`: `--direct_num_workers` in `beam.args` has a key of its own"),
        ("beam={runner: PortableRunner, job_endpoint: 'a:1', environment_config: 'b:2', args: [--job_endpoint=c:3]}",
         "`beam`: `--job_endpoint=c:3` in `beam.args` has a key of its own, `beam.job_endpoint`"),
        ("beam.environment_type=NONE", "`beam.environment_type`: Input should be 'EXTERNAL', 'PROCESS', 'DOCKER' or"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(override, message):
    assert refused(override).startswith(message)


@pytest.mark.parametrize("key", ["data.root", "data.data_dir", "gate.features.weights"])
def test_a_relative_path_is_refused_where_workers_may_be_elsewhere(key):
    sets = ["gate.features.network=inception", "gate.features.weights=/w.h5"]
    load("configs/digits.yaml", [*sets, f"{key}=a/b"])
    load("configs/digits.yaml", [PORTABLE, *sets, f"{key}=/a/b"])
    with pytest.raises(ConfigError) as caught:
        load("configs/digits.yaml", [PORTABLE, *sets, f"{key}=a/b"])
    assert str(caught.value).startswith(f"--set {key}=a/b: `{key}`: `a/b` is relative, and workers of PortableRunner")


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:0", "a:65536", "a:1/b", "a b:1", "a:b:1", "a:1\n"])
def test_an_address_is_a_host_and_a_port(text):
    with pytest.raises(ValueError, match="host:port"):
        host_and_port(text)
    assert host_and_port("[fe80::1]:50000") == ("fe80::1", 50000)


@pytest.mark.parametrize("override", ["beam={}", PORTABLE])
def test_all_beam_nodes_of_a_compiled_graph_are_given_the_options_and_no_other(override):
    config = load("configs/digits.yaml", [override])
    text = compile(config, str).graph
    specs = json.loads(text)["deployment_config"]["executor_specs"]
    assert {node for node, spec in specs.items() if spec["@type"].endswith(".BeamExecutableSpec")} == BEAM
    assert {"SchemaGen", "ExampleValidator"} <= specs.keys()  # which have no use for Beam
    given = {node: graph.beam_args(text, node) for node in graph.node_ids(text)}
    assert given == {node: config.beam.pipeline_args() if node in BEAM else [] for node in given}


def test_a_job_endpoint_is_read_back_from_the_arguments():
    assert job_endpoint(options(PORTABLE).pipeline_args()) == "jobs:8099"
    for override in ("beam={}", "beam={runner: SparkRunner, args: [--job_endpoint=embed]}"):
        assert job_endpoint(options(override).pipeline_args()) is None


def test_a_job_server_is_looked_for_before_anything_is_run():
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        config = load("configs/digits.yaml", [PORTABLE, f"beam.job_endpoint='{endpoint}'"])
        preflight.check(config, lambda key: f"where {key} is")
    with pytest.raises(ConfigError) as caught:
        preflight.check(config, lambda key: f"where {key} is")
    assert str(caught.value) == (
        f"where beam.job_endpoint is: `beam.job_endpoint`: {endpoint} cannot be reached: Connection refused"
    )
