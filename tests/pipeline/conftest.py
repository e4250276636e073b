"""A root with a finished run, for tests of what is told of it."""

import json

import numpy as np
import pytest

from components.evaluator.constants import EVALUATION_FILE, SAMPLES_FILE
from models.dataset import DatasetInfo
from pipeline.record import NodeRecord, RunRecord

CLASSES = ("many", "<few>", "one")
COUNTS = (30, 5, 1)


@pytest.fixture
def root(tmp_path, document):
    """A root with a finished run of before there were monitors: no history, nothing in `model_run`."""
    evaluation = document(CLASSES)
    info = DatasetInfo(
        classes=CLASSES, image_shape=(8, 8, 1), fingerprint="f" * 64, counts={"train": COUNTS, "eval": COUNTS},
        train_unique=COUNTS, source_counts=COUNTS, class_weights=(1.0,) * 3,
    )  # fmt: skip
    nodes = {}
    for node, key in (
        ("ExampleGen", "examples"), ("Rebalancer", "examples"), ("Judge", "model_run"), ("GAN", "model_run"),
        ("Evaluator", "evaluation"),
    ):  # fmt: skip
        directory = tmp_path / node
        directory.mkdir()
        nodes[node] = NodeRecord(state="complete", seconds=1.0, outputs={key: [str(directory)]})
        if key == "examples":
            info.save(str(directory))
    (tmp_path / "Evaluator" / EVALUATION_FILE).write_text(json.dumps(evaluation))
    images = np.zeros((3, 2, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "Evaluator" / SAMPLES_FILE, real=images, generated=images, nearest=images, real_count=[2, 2, 1])
    RunRecord(
        run_id="r",
        pid=1,
        started="now",
        serving_dir=str(tmp_path / "serving"),
        config={"name": "test", "gan": {}},
        nodes=nodes,
    ).save(tmp_path)
    return tmp_path
