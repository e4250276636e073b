"""What a change runs again: the nodes that it touches and those that depend on them, and no other."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

SETTINGS = (
    "data.image_size=8",
    "classifier.steps=4",
    "gan.steps=4",
    "gan.width=4",
    "gate.samples_per_class=4",
    "gate.rules=[label_agreement > 1]",  # nothing is pushed, so what serves is the same for all runs
)

# The Pusher is never cached: what it does depends on the serving directory, which no cache key sees.
PUSHER = {"Pusher"}
EVALUATOR = {"Evaluator", *PUSHER}
GAN = {"GAN", *EVALUATOR}
JUDGE = {"Judge", *EVALUATOR}
REBALANCER = {"Rebalancer", *GAN}
EVERYTHING = {
    "ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGuard", *JUDGE, *REBALANCER,
}  # fmt: skip

CONFIG = {
    "data.eval_fraction=0.5": EVERYTHING,
    "rebalance.strategy=oversample": REBALANCER,
    "classifier.steps=5": JUDGE,
    "gan.steps=5": GAN,
    "gate.samples_per_class=5": EVALUATOR,
    "seed=1": JUDGE | GAN,
    # What a generator is compared with is another.
    "serving.name=other": EVALUATOR,
    # How Beam runs changes no output.
    "beam.direct_num_workers=2": PUSHER,
    # Another pipeline, whose artifacts are its own.
    "name=other": EVERYTHING,
}

CODE = {
    "components/example_gen/images.py": EVERYTHING,
    "components/data_guard/guard.py": {"DataGuard", *PUSHER},
    "components/rebalancer/strategies.py": REBALANCER,
    "models/judge.py": JUDGE,
    "models/gan.py": GAN,
    "models/callbacks.py": JUDGE | GAN,
    "components/evaluator/figures.py": EVALUATOR,
    "metrics/kernel.py": EVALUATOR,
    "metrics/prdc.py": PUSHER,
    "components/pusher/executor.py": PUSHER,
    "pipeline/report.py": PUSHER,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of a dozen images."""
    path = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("crack", "fray", "free"):
        (path / name).mkdir()
        for i in range(12):
            save(path / name / f"{i}.png", random)
    return path


def save(path, random):
    Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(path)


def tailgan_run(root, folder, *overrides):
    return root.run("image_folder.yaml", f"data.root={folder}", *SETTINGS, *overrides)


def run(root, folder, *overrides):
    """The nodes that were not cached."""
    result = tailgan_run(root, folder, *overrides)
    assert result.returncode in (0, 3), result.stdout + result.stderr
    assert set(root.states.values()) <= {"complete", "cached"}
    return {node_id for node_id, state in root.states.items() if state == "complete"}


@pytest.fixture(scope="module")
def copy(project_copy):
    return project_copy[0]


@pytest.fixture(scope="module")
def first(project_copy, folder):
    """A root with one run: every change is one to this run."""
    root = project_copy[1]
    assert run(root, folder) == EVERYTHING == set(root.states)
    return root


def test_without_a_change_nothing_runs(first, folder):
    assert run(first, folder) == PUSHER


@pytest.mark.parametrize("override", CONFIG)
def test_a_key_runs_the_nodes_it_is_for(first, folder, override):
    assert run(first, folder, override) == CONFIG[override]


def test_the_options_of_beam_reach_what_runs_although_no_cache_key_sees_them(first, folder):
    result = tailgan_run(first, folder, "data.seed=1", "beam.runner=NoSuchRunner")
    assert result.returncode == 1 and "NoSuchRunner" in result.stderr
    assert first.states["ExampleGen"] == "failed"


@pytest.mark.parametrize("edited", CODE)
def test_an_edit_runs_the_nodes_that_use_the_file(first, copy, folder, edited):
    before = (copy / edited).read_text()
    (copy / edited).write_text(before + "# edited\n")
    try:
        assert run(first, folder) == CODE[edited]
    finally:
        (copy / edited).write_text(before)


def test_what_serves_is_part_of_what_the_evaluator_depends_on(first, folder):
    pushing = "gate.rules=[label_agreement >= 0]"
    assert run(first, folder, pushing) == EVALUATOR
    assert len(first.versions) == 1
    assert run(first, folder, pushing) == EVALUATOR  # now something serves
    assert run(first, folder, pushing) == PUSHER
    first.versions[0].rename(first.path / "away")
    assert run(first, folder, pushing) == PUSHER  # as the first time, and pushed again
    assert len(first.versions) == 1


# The last ones: the images stay changed.
def test_one_changed_image_runs_everything(first, folder):
    save(folder / "free" / "0.png", np.random.default_rng(1))
    assert run(first, folder) == EVERYTHING
    assert run(first, folder) == PUSHER


def test_a_copy_of_an_image_runs_everything(first, folder):
    # It is trained on no more than before, but is found, counted and named: the examples are another artifact.
    (folder / "free" / "copy.png").write_bytes((folder / "free" / "1.png").read_bytes())
    assert run(first, folder) == EVERYTHING
