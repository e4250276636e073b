"""Whole validations by the local endpoint: what is blessed, what is not and why, and what TFX reads of it."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.serving_validator import checks, validation
from components.serving_validator.options import ValidationOptions

SIGNATURES = ("serving_default", "by_name", "truncated", "array", "latent", "filtered")


@pytest.fixture(scope="module")
def of_good(good, tmp_path_factory, processes) -> dict:
    before = set(processes.below(os.getpid()))
    document = validation.validate(good, ValidationOptions(), tmp_path_factory.mktemp("good") / "log")
    assert set(processes.below(os.getpid())) == before
    return document


def test_a_good_generator_is_blessed_with_a_figure_for_every_check(of_good):
    assert of_good["blessed"] is True and of_good["reasons"] == [] and of_good["server"] == "local"
    json.dumps(of_good, allow_nan=False)
    rows = {(row["name"], row["where"]): row for row in of_good["checks"]}
    assert len(rows) == len(of_good["checks"]) == 2 + 6 * 7 + 1 + 8 + 1
    for (name, _), row in rows.items():
        assert row["value"] is not None and row["reason"] == ""
        assert (row["limit"] is None) == name.startswith("p50")
        assert row["limit"] is None or row["value"] <= row["limit"]
    assert {where for name, where in rows if name == "faulty rows"} == {
        f"{signature}, {interface}" for signature in SIGNATURES for interface in ("gRPC", "REST")
    }
    for size in ("1 image", "64 images"):
        for interface in ("gRPC", "REST"):
            where = f"serving_default, {interface}"
            p50, p95 = (rows[f"{p} of a request for {size}", where]["value"] for p in ("p50", "p95"))
            assert 0 < p50 <= p95
    assert 100 < rows["memory at its peak", "server"]["value"] < 4096  # TensorFlow alone has that much
    assert rows["difference from the PNG file", "array"]["value"] > 0.1  # rounding shows


def test_limits_that_are_exceeded_are_named_with_figure_and_key(good, tmp_path):
    options = ValidationOptions(max_latency_ms={64: 0.001}, max_memory_mb=1)
    document = validation.validate(good, options, tmp_path / "log")
    assert document["blessed"] is False and len(document["reasons"]) == 3
    slow = r"serving_default, {}: p95 of a request for 64 images: [\d.]+ ms, above `serving.validation.max_latency_ms`"
    assert re.fullmatch(slow.format("gRPC"), document["reasons"][0])
    assert re.fullmatch(slow.format("REST"), document["reasons"][1])
    memory = r"server: memory at its peak: \d+ MiB, above `serving.validation.max_memory_mb`"
    assert re.fullmatch(memory, document["reasons"][2])


def test_a_generator_that_cannot_be_loaded_is_told_with_what_the_server_says(good, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(good, model)
    (model / "variables" / "variables.index").write_bytes(b"not an index")
    document = validation.validate(model, ValidationOptions(), tmp_path / "log")
    assert document["blessed"] is False and document["checks"][-1]["value"] is None
    assert "the model cannot be loaded: " in document["reasons"][0] and "RestoreV2" in document["reasons"][0]


def test_a_server_that_dies_is_told_with_its_signal_and_last_lines(good, tmp_path, monkeypatch, processes):
    asked, before = checks.of_signatures, set(processes.below(os.getpid()))

    def kill_first(grpc, metadata):
        (line,) = set(processes.below(os.getpid())) - before
        (pid,) = processes.below(line)
        os.kill(pid, signal.SIGSEGV)
        return asked(grpc, metadata)

    monkeypatch.setattr(checks, "of_signatures", kill_first)
    document = validation.validate(good, ValidationOptions(), tmp_path / "log")
    (reason,) = document["reasons"]
    assert "the server ended by signal 11; its last lines:" in reason and "generator version 1 is served" in reason


# The component.


def artifacts(tmp_path: Path, model: Path, blessed: int):
    """Input and output of the executor."""
    from tfx.types import standard_artifacts

    trained, gate, infra = (
        kind()
        for kind in (standard_artifacts.Model, standard_artifacts.ModelBlessing, standard_artifacts.InfraBlessing)
    )
    trained.uri, infra.uri = str(tmp_path / "trained"), str(tmp_path / "infra")
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "Format-Serving").symlink_to(model)
    (tmp_path / "infra").mkdir()
    gate.set_int_custom_property("blessed", blessed)
    return {"model": [trained], "model_blessing": [gate]}, {"blessing": [infra]}


def run_executor(tmp_path, model, monkeypatch, document=None, blessed=1):
    from components.serving_validator import executor

    if document:
        monkeypatch.setattr(executor, "validate", lambda *args: document)
    inputs, outputs = artifacts(tmp_path, model, blessed)
    properties = {"options": ValidationOptions().model_dump_json(), "code_version": "c"}
    executor.Executor().Do(inputs, outputs, properties)
    return outputs["blessing"][0], json.loads((tmp_path / "infra" / "validation.json").read_text())


@pytest.mark.parametrize("blessed", [True, False])
def test_tfx_reads_the_blessing_as_its_own(good, tmp_path, monkeypatch, blessed, of_good):
    from tfx.components.infra_validator import executor as infra_validator
    from tfx.components.pusher import executor as pusher

    document = of_good if blessed else {**of_good, "blessed": False, "reasons": ["it is slow"]}
    blessing, written = run_executor(tmp_path, good, monkeypatch, document)
    assert written == document
    assert pusher.Executor().CheckBlessing({"infra_blessing": [blessing]}) is blessed
    own = {path.name for path in Path(blessing.uri).iterdir()} - {"validation.json"}
    (tmp_path / "theirs").mkdir()
    theirs = type(blessing)()
    theirs.uri = str(tmp_path / "theirs")
    (infra_validator._mark_blessed if blessed else infra_validator._mark_not_blessed)(theirs)
    assert own == {path.name for path in Path(theirs.uri).iterdir()}
    assert blessing.get_int_custom_property("blessed") == theirs.get_int_custom_property("blessed")


def test_no_server_is_started_for_what_the_gate_did_not_bless(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    blessing, written = run_executor(tmp_path, tmp_path / "nothing", monkeypatch, blessed=0)
    assert written["blessed"] is False and written["skipped"] and written["reasons"] == written["checks"] == []
    assert blessing.get_int_custom_property("blessed") == 0


# Options and small parts.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_latency_ms": {2: 5}}, "requests of 2 images are not tried; those of 1 and 64 are"),
        ({"max_latency_ms": {1: 0}}, "the limit for requests of 1 images must be above 0"),
        ({"server": "podman"}, "'local', 'docker' or 'none'"),
        ({"timeout_seconds": 0}, "greater than 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValidationError, match=said):
        ValidationOptions(**options)


def test_options_survive_json():
    options = ValidationOptions(max_latency_ms={1: 5}, max_memory_mb=None)
    assert ValidationOptions.model_validate_json(options.model_dump_json()) == options
