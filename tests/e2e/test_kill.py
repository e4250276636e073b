"""Runs that do not come to their end: killed, they go on to the very same generator; interrupted, they stop cleanly."""

import signal
import time

import pytest

pytestmark = pytest.mark.e2e

QUICK = ("gan.steps=400", "gan.checkpoint_every=50", "classifier.steps=50", "gate.samples_per_class=20")


def figures(report):
    return {key: report[key] for key in ("rules", "fid", "kid", "inception_score", "null", "per_class", "judge")}


def test_a_killed_training_ends_with_the_figures_of_an_undisturbed_one(new_root):
    killed, undisturbed = new_root("killed"), new_root("undisturbed")
    process = killed.start("digits.yaml", *QUICK)
    while not list(killed.path.glob("checkpoints/*/checkpoint")):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert killed.states["GAN"] == "running" and killed.versions == []

    again = killed.run("digits.yaml", *QUICK)
    assert "going on from step" in again.stdout, again.stdout + again.stderr
    assert killed.states["Judge"] == "cached"
    assert undisturbed.run("digits.yaml", *QUICK).returncode == again.returncode
    assert figures(killed.report()) == figures(undisturbed.report())


def test_an_interrupted_run_stops_cleanly_and_says_so(new_root):
    root = new_root("interrupted")
    process = root.start("digits.yaml", "gan.steps=100000", "gan.checkpoint_every=50", "classifier.steps=20")
    while not list(root.path.glob("checkpoints/*/checkpoint")):
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert root.states["GAN"] == "stopped" and root.states["Pusher"] == "pending" and root.versions == []
    assert "interrupted" in root.tailgan("status", "--root", str(root.path)).stdout
