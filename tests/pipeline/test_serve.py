"""`tailgan serve`."""

import re
import subprocess
import sys

import pytest

from pipeline.cli import main
from pipeline.record import RunRecord


@pytest.fixture
def root(tmp_path):
    serving_dir = tmp_path / "serving" / "tiles"
    RunRecord(run_id="1", pid=1, started="now", serving_dir=str(serving_dir), config={}, nodes={}).save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("flag", ["--model_name=x", "--model_base_path=/x", "--model_config_file=x"])
def test_a_root_and_a_model_do_not_go_together(root, capsys, flag):
    assert main(["serve", "--root", str(root), flag]) == 2
    assert f"it does not go with {flag.partition('=')[0]}" in capsys.readouterr().err


def test_a_root_without_a_run_is_told(tmp_path, capsys):
    assert main(["serve", "--root", str(tmp_path)]) == 2
    assert "no run here, so there is no model to serve" in capsys.readouterr().err


def test_faults_of_the_flags_are_told(root, capsys):
    assert main(["serve", "--model_name=x"]) == 2
    assert main(["serve", "--model_config_file=/nope"]) == 2
    assert main(["serve", "--root", str(root), "--port=7", "--rest_api_port=7"]) == 2
    said = capsys.readouterr().err
    assert "nothing to serve" in said
    assert "/nope; No such file or directory" in said
    assert "both 7" in said


@pytest.mark.e2e
def test_what_a_root_pushes_is_served_under_its_name(root):
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--root", str(root), "--port=0", "--rest_api_port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert re.fullmatch(r"REST on http://127.0.0.1:\d+, gRPC on 127.0.0.1:\d+\n", process.stdout.readline())
    finally:
        process.terminate()
    assert process.stderr
    assert f"Could not find base path {root}/serving/tiles for servable tiles" in process.stderr.read()
    assert process.wait(30) == 0
