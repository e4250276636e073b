"""The command line as a person uses it: exit codes, messages, and how little it loads."""

import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent.parent
HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "matplotlib", "sklearn", "scipy", "numpy", "kfp", "ml_metadata"}


def tailgan(*args: str, cwd: Path = HOME) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *args],
        capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(HOME), "PATH": ""},
    )  # fmt: skip


@pytest.mark.parametrize("args", [["--help"], ["config", "configs/digits.yaml"], ["config", "configs/none.yaml"]])
def test_quick_commands_load_nothing_heavy(args):
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        f"try: main({args!r})\nexcept SystemExit: pass\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOME)
    assert result.returncode == 0, result.stderr


def test_config_prints_what_it_resolved():
    result = tailgan("config", "configs/digits.yaml", "--set", "gan.steps=7")
    assert result.returncode == 0 and "steps: 7" in result.stdout


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["config", "none.yaml"], "none.yaml: no such configuration file"),
        (["run", "configs/digits.yaml", "--set", "gan.stepz=1"], "did you mean `gan.steps`?"),
        (["status", "--root", "nowhere"], "nowhere: no run here"),
        (["report", "--root", "nowhere"], "nowhere: no run here"),
        (["sample", "--root", "nowhere", "--out", "x.png"], "nowhere: no generator serves here"),
        (["sample", "--out", "x.png", "--count", "0"], "0 is not at least 1"),
        (["nonsense"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_usage_and_configuration_errors_exit_with_2_and_no_traceback(args, expected):
    result = tailgan(*args)
    assert result.returncode == 2, result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr and not result.stdout
