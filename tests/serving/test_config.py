"""TensorFlow Serving's configuration files and flags."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from serving.config import METRICS_PATH, VersionPolicy, read_batching, read_metrics_path, read_models
from serving.errors import ServingError
from serving.flags import add_flags, options_of

GEN = 'name: "gen" base_path: "/models/gen" model_platform: "tensorflow"'


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "file").write_text(text)
        return tmp_path / "file"

    return write


def test_models_are_read(file):
    models = read_models(
        file(
            f"model_config_list {{ config {{ {GEN} model_version_policy {{ specific {{ versions: 1 versions: 3 }} }} "
            'version_labels { key: "stable" value: 1 } } '
            'config { name: "b" base_path: "/b" model_platform: "tensorflow" model_version_policy { all {} } } '
            'config { name: "c" base_path: "/c" model_platform: "tensorflow" '
            "model_version_policy { latest { num_versions: 2 } } } "
            'config { name: "d" base_path: "/d" model_platform: "tensorflow" } }'
        )
    )
    assert models["gen"].base_path == Path("/models/gen")
    assert models["gen"].labels == {"stable": 1}
    found = [1, 2, 3, 10]
    assert {name: model.policy.pick(found) for name, model in models.items()} == {
        "gen": [3, 1], "b": [10, 3, 2, 1], "c": [10, 3], "d": [10]
    }  # fmt: skip


def test_a_specific_version_that_is_not_there_is_not_picked():
    assert VersionPolicy(specific=(1, 9)).pick([1, 2]) == [1]


@pytest.mark.parametrize(
    "text, fault",
    [
        ("model_config_list {", "Invalid protobuf file"),
        ("nope: 1", "nope"),
        ("", "Only ModelConfigList"),
        (f"model_config_list {{ config {{ {GEN} }} config {{ {GEN} }} }}", "list model gen multiple times"),
        ('model_config_list { config { name: "a" base_path: "/a" } }', "model name is a"),
        ('model_config_list { config { name: "a" base_path: "a" model_platform: "tensorflow" } }', "absolute path"),
        ('model_config_list { config { name: "a" base_path: "/a" model_platform: "x" } }', "requested is x"),
        ('model_config_list { config { base_path: "/a" model_platform: "tensorflow" } }', "without a name"),
        (f"model_config_list {{ config {{ {GEN} model_version_policy {{ specific {{ }} }} }} }}", "at least one"),
    ],
)
def test_impossible_models_are_refused(file, text, fault):
    with pytest.raises(ServingError, match=fault):
        read_models(file(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ServingError, match="nope; No such file"):
        read_models(tmp_path / "nope")


def test_batching_is_read(file):
    parameters = read_batching(
        file(
            "max_batch_size { value: 4 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 2 } "
            "num_batch_threads { value: 3 } allowed_batch_sizes: 2 allowed_batch_sizes: 4 "
            'thread_pool_name { value: "x" }'
        )
    )
    assert (parameters.max_batch_size, parameters.batch_timeout_micros) == (4, 2000)
    assert (parameters.max_enqueued_batches, parameters.num_batch_threads) == (2, 3)
    assert parameters.allowed_batch_sizes == (2, 4)
    assert read_batching(file("")).max_batch_size == 1000


@pytest.mark.parametrize(
    "text, fault",
    [
        ("max_batch_size: 4", "max_batch_size"),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 2", "end with max_batch_size"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 4 allowed_batch_sizes: 2", "must grow"),
    ],
)
def test_impossible_batching_is_refused(file, text, fault):
    with pytest.raises(ServingError, match=fault):
        read_batching(file(text))


def test_where_the_metrics_are(file):
    assert read_metrics_path(file("prometheus_config { enable: true }")) == METRICS_PATH
    assert read_metrics_path(file('prometheus_config { enable: true path: "/m" }')) == "/m"
    assert read_metrics_path(file("")) is None
    with pytest.raises(ServingError, match="file"):
        read_metrics_path(file("x: 1"))
    with pytest.raises(ServingError, match="slash"):
        read_metrics_path(file('prometheus_config { enable: true path: "m" }'))


def options(*flags: str):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return options_of(parser.parse_args(flags))


def test_flags_are_those_of_tensorflow_serving():
    asked = options("--model_base_path=/m", "--enable_batching=true", "--rest_api_port", "0")
    assert (asked.port, asked.rest_api_port, asked.rest_api_timeout_in_ms) == (8500, 0, 30000)
    assert asked.enable_batching
    assert options("--enable_batching", "--model_base_path=/m").enable_batching
    assert not options("--enable_batching=false", "--model_base_path=/m").enable_batching
    assert asked.host == "127.0.0.1", "nobody is asked who they are, so nobody else is let in"


@pytest.mark.parametrize(
    "flags, fault",
    [
        ([], "nothing to serve"),
        (["--model_name=x"], "nothing to serve"),
        (["--model_config_file=f", "--model_base_path=/m"], "does not go with"),
        (["--model_base_path=/m", "--model_config_file_poll_wait_seconds=1"], "no --model_config_file"),
        (["--model_base_path=/m", "--batching_parameters_file=f"], "needs --enable_batching"),
        (["--model_base_path=/m", "--port=1", "--rest_api_port=1"], "a port each"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, fault):
    with pytest.raises(ServingError, match=fault):
        options(*flags)


def test_a_fault_is_told_before_tensorflow_is_loaded():
    program = (
        "import sys\nfrom serving.__main__ import main\n"
        "code = main(['--model_base_path=relative', '--port=0', '--rest_api_port=0'])\n"
        "print(code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "absolute path or URI; got base_path()=relative" in done.stderr
