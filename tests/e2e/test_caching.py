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
JUDGED = {"Evaluator", "ServingValidator"}  # which looks at what the Evaluator blesses
EVERYTHING = DATA | {"Judge", "Rebalancer", "GAN", *JUDGED}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of this project, to be edited."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("components", "configs", "metrics", "models", "pipeline", "serving", "tests/e2e"):
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
        ("rebalance.strategy=none", {"Rebalancer", "GAN", *JUDGED}),
        ("rebalance.class_weights=inverse", {"Rebalancer", "GAN", *JUDGED}),
        ("classifier.steps=5", {"Judge", *JUDGED}),
        ("gan.steps=5", {"GAN", *JUDGED}),
        ("gan.loss=non_saturating", {"GAN", *JUDGED}),
        ("gate.samples_per_class=5", JUDGED),
        ("gate.not_worse={}", JUDGED),
        ("serving.name=other", JUDGED),  # it looks at what serves there
        ("serving.validation.timeout_seconds=60", {"ServingValidator"}),
        ("seed=1", {"Judge", "GAN", *JUDGED}),
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
        ("components/rebalancer/strategies.py", {"Rebalancer", "GAN", *JUDGED}),
        ("models/judge.py", {"Judge", *JUDGED}),
        ("models/gan.py", {"GAN", *JUDGED}),
        ("models/networks/dcgan.py", {"GAN", *JUDGED}),
        ("models/losses.py", {"GAN", *JUDGED}),
        ("models/terms/r1.py", {"GAN", *JUDGED}),
        ("models/augment/warp.py", {"GAN", *JUDGED}),
        ("models/classifier.py", {"Judge", "GAN", *JUDGED}),  # the GAN may train a helper
        ("models/alarms.py", {"GAN", *JUDGED}),
        ("models/callbacks.py", {"Judge", "GAN", *JUDGED}),
        ("components/evaluator/groups.py", JUDGED),
        ("components/evaluator/looking.py", JUDGED),
        ("components/evaluator/inception.py", JUDGED),
        ("metrics/kernel.py", JUDGED),
        ("metrics/prdc.py", JUDGED),
        ("models/generator.py", set()),  # `tailgan sample` alone calls a generator by it
        ("components/serving_validator/checks.py", {"ServingValidator"}),
        ("serving/rest.py", {"ServingValidator"}),  # of the server that it starts
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
    assert ran(pushing) == JUDGED
    assert ran(pushing) == JUDGED  # now something serves
    assert ran(pushing) == set()
