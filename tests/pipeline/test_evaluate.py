"""`tailgan evaluate`: what is refused before anything is loaded, and what people read."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.evaluate import summary

HOME = Path(__file__).parent.parent.parent
DIGITS = ("--config", str(HOME / "configs" / "digits.yaml"))


def evaluate(*args: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "evaluate", *args],
        capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(HOME), "PATH": ""}, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--images", "absent", *DIGITS), "absent: no such folder"),
        (("--model", "absent", *DIGITS), "absent: no such folder"),
        (
            ("--model", "here", *DIGITS),
            "here: no SavedModel, because there is no saved_model.pb; --images takes a folder",
        ),
        (DIGITS, "one of the arguments --model --images is required"),
        (("--model", "here", "--images", "here", *DIGITS), "not allowed with argument"),
        (("--images", "here"), "the following arguments are required: --config"),
        (("--images", "here", "--config", "absent.yaml"), "absent.yaml: no such configuration file"),
        (
            ("--images", "here", *DIGITS, "--set", "gate.features.network=resnet"),
            "`gate.features.network`: Input should be 'judge', 'inception' or 'pixels', not 'resnet'",
        ),
        (
            ("--images", "here", *DIGITS, "--set", "gate.features={network: inception}"),
            "`network: inception` needs either `weights`, a file, or `download: true`",
        ),
        (
            ("--images", "here", *DIGITS, "--set", "gate.features={network: inception, weights: w.h5}"),
            "`gate.features.weights`: w.h5 cannot be read: No such file or directory",
        ),
        (
            ("--images", "here", *DIGITS, "--set", "gate.features={network: inception, weights: text.h5}"),
            "`gate.features.weights`: text.h5 is no HDF5 file, in which Keras saves weights",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_at_once(tmp_path, args, message):
    (tmp_path / "here").mkdir()
    (tmp_path / "text.h5").write_text("no weights")
    result = evaluate(*args, cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert message in result.stderr and "Traceback" not in result.stderr and not result.stdout.strip()
    assert not list(tmp_path.glob("runs/*/artifacts"))


def test_people_read_verdict_reasons_warnings_and_classes(document):
    read = summary({**document(), "warnings": ["no comparison with version 3"]})
    for text in ("verdict: blessed", "warning: no comparison with version 3", "many", "few", "fidelity", "at n = "):
        assert text in read
