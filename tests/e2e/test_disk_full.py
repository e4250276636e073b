"""A disk that fills up while a node writes: the run fails in one sentence, what was there stays, and it can go on."""

import os
import shutil
import subprocess

import pytest

from models.generator import Generator

pytestmark = pytest.mark.e2e

QUICK = (
    "gan.steps=60", "gan.checkpoint_every=20", "classifier.steps=20", "gate.samples_per_class=20",
    "gate.rules=[label_agreement >= 0]", "gate.not_worse={}",
)  # fmt: skip


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def leave(path, free):
    """Fills a file system up to so many free bytes."""
    found = os.statvfs(path)
    with open(path / "ballast", "wb") as file:
        file.write(bytes(max(found.f_bavail * found.f_frsize - free, 0)))


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk_stops_a_run_in_one_sentence_and_nothing_that_was_there_is_lost(small_disk, new_root):
    root = new_root("any")
    root = type(root)(small_disk / "root", root.zygote)
    assert root.run("digits.yaml", *QUICK).returncode == 0
    served, artifacts = files(root.path / "serving"), files(root.path / "artifacts")

    failed_in = set()
    # Bytes left: none for the record of the run; too few for images, for rebalanced images, for checkpoints.
    for free in (0, 200_000, 700_000, 1_500_000):
        leave(small_disk, free)
        result = root.run("digits.yaml", *QUICK, "data.seed=1")
        assert result.returncode == 1, result.stdout + result.stderr
        (line,) = result.stderr.splitlines()
        assert "the disk that holds" in line and "the same command goes on" in line
        failed_in |= {node_id for node_id, state in root.states.items() if state == "failed"}
        assert files(root.path / "serving") == served
        assert files(root.path / "artifacts").items() >= artifacts.items()
        (small_disk / "ballast").unlink()
    assert failed_in >= {"ExampleGen", "GAN"}

    assert root.run("digits.yaml", *QUICK, "data.seed=1").returncode == 0
    assert len(root.versions) == 2
    for version in root.versions:
        assert Generator(str(version)).classes == tuple(map(str, range(10)))
