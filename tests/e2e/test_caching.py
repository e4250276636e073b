"""A change runs the nodes that it touches, and no other: a table of changes and nodes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parent.parent.parent
# Without a rule nothing is blessed, so nothing is pushed: what serves, to which the Evaluator looks, stays the same.
QUICK = (
    "data.image_size=8", "data.channels=1", "gan.steps=4", "gan.batch_size=8", "gan.helper_steps=4",
    "classifier.steps=4", "gate.samples_per_class=4", "gate.rules=[]",
)  # fmt: skip

DATA = {"ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGuard"}
EVERYTHING = DATA | {"Judge", "Rebalancer", "GAN", "Evaluator"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of this project, to be edited."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("components", "configs", "metrics", "models", "pipeline", "tests/e2e"):
        shutil.copytree(HOME / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Two classes of 20 images."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("fray", "free"):
        (root / name).mkdir()
        for i in range(20):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def ran(tmp_path_factory, project, images, root_of_copy):
    """Runs the copy, changed or not, always on one root, and gives the nodes that were not cached."""
    root = root_of_copy(project, tmp_path_factory.mktemp("work") / "root")

    def run(*overrides: str) -> set[str]:
        result = root.run("image_folder.yaml", *QUICK, f"data.root={images}", *overrides)
        assert result.returncode in (0, 3), result.stdout + result.stderr
        # What it does depends on the serving directory, so the Pusher always runs.
        return {name for name, state in root.states.items() if state != "cached"} - {"Pusher"}

    assert run() == EVERYTHING
    return run


@contextmanager
def edited(path: Path, data: bytes) -> Iterator[None]:
    """A file with other content for a while; afterwards it is as it was, its time included."""
    before, found = path.read_bytes(), path.stat()
    path.write_bytes(data)
    yield
    path.write_bytes(before)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_nothing_runs_again_when_nothing_changed(ran):
    assert ran() == set()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.eval_fraction=0.3", EVERYTHING),
        ("data.max_bad_fraction=0.5", EVERYTHING),
        ("rebalance.strategy=none", {"Rebalancer", "GAN", "Evaluator"}),
        ("rebalance.class_weights=inverse", {"Rebalancer", "GAN", "Evaluator"}),
        ("classifier.steps=5", {"Judge", "Evaluator"}),
        ("gan.steps=5", {"GAN", "Evaluator"}),
        ("gan.loss=non_saturating", {"GAN", "Evaluator"}),
        ("gate.samples_per_class=5", {"Evaluator"}),
        ("gate.not_worse={}", {"Evaluator"}),
        ("serving.name=other", {"Evaluator"}),  # it looks at what serves there
        ("seed=1", {"Judge", "GAN", "Evaluator"}),
        ("beam.direct_num_workers=2", set()),  # how, not what
        ("name=other", EVERYTHING),  # another pipeline, with artifacts of its own
    ],
)
def test_a_key_of_the_configuration_runs_what_it_concerns(ran, override, expected):
    assert ran(override) == expected
    assert ran() == set()


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("components/example_gen/images.py", EVERYTHING),
        ("components/example_gen/decoder_process.py", EVERYTHING),
        ("components/data_guard/guard.py", {"DataGuard"}),
        ("components/rebalancer/strategies.py", {"Rebalancer", "GAN", "Evaluator"}),
        ("models/judge.py", {"Judge", "Evaluator"}),
        ("models/gan.py", {"GAN", "Evaluator"}),
        ("models/networks/dcgan.py", {"GAN", "Evaluator"}),
        ("models/losses.py", {"GAN", "Evaluator"}),
        ("models/terms/r1.py", {"GAN", "Evaluator"}),
        ("models/augment/warp.py", {"GAN", "Evaluator"}),
        ("models/classifier.py", {"Judge", "GAN", "Evaluator"}),  # the GAN may train a helper
        ("models/alarms.py", {"GAN", "Evaluator"}),
        ("models/callbacks.py", {"Judge", "GAN", "Evaluator"}),
        ("components/evaluator/groups.py", {"Evaluator"}),
        ("components/evaluator/looking.py", {"Evaluator"}),
        ("components/evaluator/inception.py", {"Evaluator"}),
        ("metrics/kernel.py", {"Evaluator"}),
        ("metrics/prdc.py", set()),
        ("components/pusher/executor.py", set()),
        ("pipeline/report.py", set()),
        ("pipeline/cli.py", set()),
    ],
)
def test_an_edit_of_the_code_runs_the_nodes_that_it_is_behind(ran, project, module, expected):
    path = project / module
    with edited(path, path.read_bytes() + b"\n# edited\n"):
        assert ran() == expected
    assert ran() == set()


def test_one_changed_image_runs_everything_and_its_return_nothing(ran, images):
    path = images / "fray" / "3.png"
    Image.new("L", (8, 8), 77).save(images.parent / "other.png")
    with edited(path, (images.parent / "other.png").read_bytes()):
        assert ran() == EVERYTHING
    assert ran() == set()


def test_an_image_added_or_removed_runs_everything(ran, images):
    added = images / "free" / "new.png"
    Image.new("L", (8, 8), 99).save(added)
    assert ran() == EVERYTHING
    added.unlink()
    assert ran() == set()


def test_what_serves_is_part_of_what_the_evaluator_depends_on(ran):
    pushing = "gate.rules=[label_agreement >= 0]"
    assert ran(pushing) == {"Evaluator"}
    assert ran(pushing) == {"Evaluator"}  # now something serves
    assert ran(pushing) == set()
