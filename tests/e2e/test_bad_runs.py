"""Runs that meet a damaged root, another run, or numbers that go wild: one sentence each, and what was there stays."""

import json
import sqlite3

import pytest

pytestmark = pytest.mark.e2e

QUICK = (
    "gan.steps=40", "gan.checkpoint_every=20", "gan.helper_steps=20", "classifier.steps=20",
    "gate.samples_per_class=20", "gate.rules=[label_agreement >= 0]",
)  # fmt: skip


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(root, *overrides) -> str:
    """What is said by a run that is refused; nothing below the root that matters is touched."""
    kept = [files(root.path / name) for name in ("artifacts", "serving", "checkpoints")]
    result = root.run("digits.yaml", *QUICK, *overrides)
    assert result.returncode == 2, result.stdout + result.stderr
    assert [files(root.path / name) for name in ("artifacts", "serving", "checkpoints")] == kept
    (line,) = result.stderr.splitlines()
    return line.removeprefix("tailgan: ")


@pytest.fixture(scope="module")
def done(root):
    """A root on which a run has pushed a generator."""
    assert root.run("digits.yaml", *QUICK).returncode == 0
    return root


def test_a_damaged_metadata_store_is_named_with_the_way_out_which_works(done):
    store = done.path / "metadata.db"
    whole = store.read_bytes()
    for damage in (b"no database", whole[:5000], whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)):
        store.write_bytes(damage)
        said = refused(done)
        assert said.startswith(f"{store}: the metadata store is damaged (") and "every node then runs anew" in said
    store.rename(done.path / "damaged.db")
    store.touch()  # as a power cut may leave it: no less lost
    again = done.run("digits.yaml", *QUICK)
    assert again.returncode == 0 and "Already serving" in again.stdout, again.stdout + again.stderr
    assert set(done.states.values()) == {"complete"} and len(done.versions) == 1
    assert "they are in artifacts.old-1 now" in again.stdout and (done.path / "artifacts.old-1" / "GAN").is_dir()


def test_a_store_that_a_kill_left_in_the_middle_of_a_write_is_no_damage(done):
    writer = sqlite3.connect(done.path / "metadata.db", isolation_level=None)
    writer.execute("PRAGMA cache_spill = 1")
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN")
    writer.execute("DELETE FROM Event")
    journal = (done.path / "metadata.db-journal").read_bytes()
    torn = (done.path / "metadata.db").read_bytes()
    writer.execute("ROLLBACK")
    writer.close()
    (done.path / "metadata.db-journal").write_bytes(journal)
    (done.path / "metadata.db").write_bytes(torn)
    result = done.run("digits.yaml", *QUICK)
    assert result.returncode == 0 and done.states["GAN"] == "cached", result.stdout + result.stderr


def test_a_root_of_a_newer_version_is_refused_with_the_way_out(done):
    marker = done.path / "root.json"
    mine = marker.read_text()
    marker.write_text(json.dumps({"format": 99, "tailgan": "9.0.0"}))
    assert "made by tailgan 9.0.0 in format 99" in refused(done)
    marker.write_text("{")
    assert f"{marker}: damaged; remove it" in refused(done)
    marker.write_text(mine)


def test_a_root_of_an_older_version_is_taken_over(done):
    (done.path / "root.json").unlink()
    (done.path / "run.json").write_text('{"run": "of another shape"}')
    status = done.tailgan("status", "--root", str(done.path))
    assert status.returncode == 2 and "written by another version of tailgan" in status.stderr
    result = done.run("digits.yaml", *QUICK)
    assert result.returncode == 0 and done.states["GAN"] == "cached", result.stdout + result.stderr
    assert (done.path / "run.json.old").is_file() and json.loads((done.path / "root.json").read_text())["format"] == 1


def test_a_second_run_is_refused_while_the_first_is_at_work(done):
    pid = done.zygote.start(done.run_args("digits.yaml", *QUICK, "gan.steps=100000", "seed=5"), done.path.parent)
    try:
        while json.loads((done.path / "run.json").read_text())["pid"] != pid:
            pass
        assert f"another run is at work here (pid {pid})" in refused(done)
        assert ": running (run" in done.tailgan("status", "--root", str(done.path)).stdout
    finally:
        done.kill(pid)
    broken_off = done.tailgan("status", "--root", str(done.path)).stdout
    assert f"broken off: its process, {pid}, is gone" in broken_off
    assert done.run("digits.yaml", *QUICK).returncode == 0


def test_a_run_goes_on_when_its_screen_cannot_be_written(done):
    args = done.run_args("digits.yaml", *QUICK, "gate.samples_per_class=21")
    pid = done.zygote.start(args, done.path.parent, out="/dev/full", err="/dev/full")
    assert done.zygote.wait(pid) == 0
    record = json.loads((done.path / "run.json").read_text())
    assert record["outcome"] == "already_serving" and record["nodes"]["Evaluator"]["state"] == "complete"


def test_training_that_diverges_stops_with_the_step_and_the_last_good_checkpoint(new_root):
    root = new_root("diverging")
    result = root.run("digits.yaml", *QUICK, "gan.generator_optimizer.learning_rate=1e30")
    assert result.returncode == 1, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("tailgan: GAN: training diverged in step ")
    assert "last good checkpoint: " in line and "a lower learning rate may help" in line
    assert root.states["GAN"] == "failed" and root.versions == []
    assert [child for child in (root.path / "artifacts" / "GAN" / "model").glob("*")] == []


def test_an_unknown_beam_runner_fails_the_node_that_would_run_on_it(new_root):
    result = new_root("any").run("digits.yaml", *QUICK, "beam.runner=NoSuchRunner")
    assert result.returncode == 1, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("tailgan: ExampleGen: ") and "NoSuchRunner" in line
