"""A screen that is closed or gone costs what would have been said on it, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.display import Display
from pipeline.screen import lasting

HOME = Path(__file__).parent.parent.parent
CONFIG = f"{sys.executable} -m pipeline.cli config configs/digits.yaml"


def bash(command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": ""},
    )


@pytest.fixture
def broken():
    """A stream into a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        yield stream


def test_the_display_falls_silent_when_nobody_reads_and_the_stream_closes_in_peace(broken):
    with Display(lasting(broken), logged=False) as display:
        for _ in range(3):
            display.console.print("what nobody reads")
            display.node_ended("GAN", "complete", 1.0)


def test_a_full_disk_under_the_screen_is_no_fault_of_what_writes_to_it():
    with open("/dev/full", "w", buffering=1) as stream:
        screen = lasting(stream)
        assert screen.write("a line\n") == 7 and screen.write("another\n") == 8
        screen.flush()


def test_what_is_read_arrives(tmp_path):
    with open(tmp_path / "screen", "w") as stream:
        screen = lasting(stream)
        screen.write("a line\n")
        screen.flush()
        assert screen.fileno() == stream.fileno() and not screen.isatty()
    assert (tmp_path / "screen").read_text() == "a line\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_commands_work_with_closed_streams(closed):
    result = bash(f"{CONFIG} {closed}")
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert bool(result.stdout) == (">&-" not in closed.replace("2>&-", ""))
    refused = bash(f"{CONFIG} --set gan.stepz=1 {closed}")
    assert refused.returncode == 2 and not refused.stdout


def test_a_closed_stream_is_not_taken_by_the_next_file():
    code = "from pipeline import screen; screen.open_closed(); os.write(9, b'%d' % open('/dev/zero').fileno())"
    result = bash(f'{sys.executable} -c "import os; {code}" 9>&1 >&- 2>&- <&-')
    assert int(result.stdout) > 2


def test_output_that_nobody_reads_is_no_fault():
    result = bash(f"set -o pipefail; {CONFIG} | true")
    assert result.returncode == 0 and not result.stderr


def test_what_is_wrong_decides_the_exit_code_also_when_nobody_reads_it():
    assert bash(f"set -o pipefail; {CONFIG} --set gan.stepz=1 2>&1 | true").returncode == 2
