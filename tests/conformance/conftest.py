"""Servers to ask: the local endpoint, started as a process, or one that is already there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """The folder that make_model.py writes."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("make_model.py")), str(folder)], check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="session")
def server(request):
    """The server of CONFORMANCE_URL (and CONFORMANCE_GRPC), or the local endpoint."""
    url = os.environ.get("CONFORMANCE_URL")
    if url:
        there = request.getfixturevalue("server_at")
        return there(re.sub(r"^https?://|/$", "", url), os.environ.get("CONFORMANCE_GRPC", ""))
    folder = request.getfixturevalue("made")
    local = request.getfixturevalue("start_server_once")(
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=0",
    )
    local.wait_for("gen", 1)
    local.wait_for("gen", 3)
    local.wait_for("broken", 1)
    local.wait_for("broken", 2, "END")
    return local
