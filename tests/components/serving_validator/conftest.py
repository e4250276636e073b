"""A generator as the Trainer exports it, and processes to look at."""

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from models.classifier import classifier
from models.dataset import DatasetInfo
from models.export import export_generator
from models.helper import OPTIONS
from models.networks import build_networks
from models.options import GANOptions
from models.signatures import Filter

CLASSES = ("fray", "free", "crack")
SHAPE = (8, 8, 1)


@pytest.fixture(scope="session")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    generator, _ = build_networks(GANOptions(width=8, latent={"dim": 8}), SHAPE, classes=len(CLASSES))
    random = np.random.default_rng(0)
    for variable in generator.trainable_variables:
        variable.assign(variable + 0.5 * random.normal(size=variable.shape))
    return generator


@pytest.fixture(scope="session")
def good(network, tmp_path_factory) -> Path:
    """A generator as the Trainer exports it, with a filter."""
    path = tmp_path_factory.mktemp("good") / "model"
    counts = (5,) * len(CLASSES)
    info = DatasetInfo(
        classes=CLASSES,
        image_shape=SHAPE,
        fingerprint="f" * 64,
        counts={"train": counts, "eval": counts},
        train_unique=counts,
        source_counts=counts,
        class_weights=(1.0,) * len(CLASSES),
    )
    image_filter = Filter(classifier(OPTIONS, SHAPE, len(CLASSES)), candidates=3, threshold=0.0, accuracy=0.5)
    export_generator(network, str(path), info, {"steps": 1}, image_filter)
    return path


def pids_below(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="session")
def processes() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(below=pids_below, is_running=is_running, wait_until=wait_until)
