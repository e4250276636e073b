"""The Rebalancer's executor on real Examples artifacts, run by Beam."""

import collections
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.trainer.executor import GenericExecutor
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components import examples
from components.rebalancer import executor
from components.rebalancer.options import RebalanceOptions
from models.dataset import DatasetInfo
from models.errors import UserError

CLASSES = ("good", "break", "fray")
COUNTS = (40, 11, 3)
SHARDS = 3


def write_source(uri, counts=COUNTS):
    """An Examples artifact of 2x2 PNGs, `counts` in train and two a class in eval."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    examples.describe(artifact, span=7)
    rng = np.random.default_rng(0)
    for split, sizes in {"train": counts, "eval": [2] * len(counts)}.items():
        labels = rng.permutation(np.repeat(np.arange(len(counts)), sizes))
        for i in range(SHARDS):
            with examples.writer(
                os.path.join(examples.split_dir(str(uri), split), examples.shard_name(i, SHARDS))
            ) as out:
                for label in labels[i::SHARDS]:
                    png = tf.io.encode_png(rng.integers(0, 256, (2, 2, 1)).astype(np.uint8)).numpy()
                    out.write(examples.serialize(png, int(label), hashlib.sha256(rng.bytes(8)).hexdigest().encode()))
    DatasetInfo(
        classes=CLASSES[: len(counts)],
        image_shape=(2, 2, 1),
        fingerprint="f",
        counts={"train": counts, "eval": (2,) * len(counts)},
        train_unique=counts,
        source_counts=counts,
        class_weights=(1.0,) * len(counts),
    ).save(str(uri))
    return artifact


def run(source, target, *beam_args, **options):
    """Runs the executor and returns its two artifacts."""
    output, hyperparameters = standard_artifacts.Examples(), standard_artifacts.HyperParameters()
    output.uri, hyperparameters.uri = str(target / "examples"), str(target / "hyperparameters")
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(beam_args) or ["--runner=DirectRunner"], tmp_dir=str(target / "tmp"), unique_id="1"
    )
    executor.Executor(context).Do(
        {"source": [source]},
        {"examples": [output], "hyperparameters": [hyperparameters]},
        {"options": RebalanceOptions(**options).model_dump_json(), "code_version": "x"},
    )
    return output, hyperparameters


def read(artifact, split="train"):
    """[(label, id, image, weight or None)] of a split, in order."""
    records = [record for path in examples.shards(artifact.uri, split) for record in examples.read(path)]
    return [as_tuple(tf.train.Example.FromString(record).features.feature) for record in records]


def as_tuple(feature):
    return (
        feature["label"].int64_list.value[0],
        feature["id"].bytes_list.value[0],
        feature["image"].bytes_list.value[0],
        feature["weight"].float_list.value[0] if "weight" in feature else None,
    )


def digest(uri):
    """Hash of every file below a directory."""
    return {
        str(p.relative_to(uri)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(uri).rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def mixed(source, tmp_path_factory):
    """One class thinned, one left as it is, one repeated 6 or 7 times."""
    return run(
        source,
        tmp_path_factory.mktemp("mixed"),
        strategy={"good": 25, "fray": 20},
        class_weights="inverse",
    )


def test_targets_are_reached_exactly(mixed):
    by_class = collections.Counter(label for label, *_ in read(mixed[0]))
    assert by_class == {0: 25, 1: 11, 2: 20}


def test_thinning_is_without_replacement_and_repetition_is_even(mixed):
    times = collections.Counter((label, id) for label, id, *_ in read(mixed[0]))
    per_class = {k: sorted(n for (label, _), n in times.items() if label == k) for k in range(3)}
    assert per_class == {0: [1] * 25, 1: [1] * 11, 2: [6, 7, 7]}


def test_images_keep_their_bytes_label_and_place(source, mixed):
    original = {id: (label, image) for label, id, image, _ in read(source)}
    rebalanced = read(mixed[0])
    assert all(original[id] == (label, image) for label, id, image, _ in rebalanced)
    order = list(original)
    places = [order.index(id) for _, id, *_ in rebalanced]
    assert places == sorted(places)


def test_every_training_example_has_the_weight_of_its_class(mixed):
    weights = np.array([weight for *_, weight in read(mixed[0])])
    labels = np.array([label for label, *_ in read(mixed[0])])
    assert weights.mean() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose([weights[labels == k].sum() for k in range(3)], [56 / 3] * 3, rtol=1e-5)


def test_eval_passes_byte_for_byte(source, mixed):
    assert digest(examples.split_dir(mixed[0].uri, "eval")) == digest(examples.split_dir(source.uri, "eval"))


def test_the_artifact_is_described(source, mixed):
    output, _ = mixed
    assert (output.split_names, output.span) == (source.split_names, 7)
    assert output.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"


def test_the_facts_of_the_data_set_are_brought_up_to_date(source, mixed):
    before, after = DatasetInfo.load(source.uri), DatasetInfo.load(mixed[0].uri)
    assert after.counts == {"train": (25, 11, 20), "eval": (2, 2, 2)}
    assert after.train_unique == (25, 11, 3)
    assert (after.classes, after.fingerprint, after.source_counts) == (before.classes, before.fingerprint, COUNTS)
    report = json.loads(Path(mixed[0].uri, executor.REBALANCE_FILE).read_text())
    assert report["fray"] == {"before": 3, "after": 20, "weight": pytest.approx(56 / 60)}
    assert list(report) == list(CLASSES)
    assert after.class_weights == tuple(row["weight"] for row in report.values())


def test_the_trainer_is_given_counts_and_weights(mixed, tmp_path):
    model, model_run = standard_artifacts.Model(), standard_artifacts.ModelRun()
    model.uri, model_run.uri = str(tmp_path / "model"), str(tmp_path / "model_run")
    fn_args = GenericExecutor()._GetFnArgs(
        {"examples": [mixed[0]], "hyperparameters": [mixed[1]]},
        {"model": [model], "model_run": [model_run]},
        {"run_fn": "unused.run_fn", "train_args": "{}", "eval_args": "{}", "custom_config": "null"},
    )
    assert fn_args.hyperparameters["counts_before"] == list(COUNTS)
    assert fn_args.hyperparameters["counts_after"] == [25, 11, 20]
    np.testing.assert_allclose(fn_args.hyperparameters["class_weights"], [56 / 75, 56 / 33, 56 / 60])
    assert DatasetInfo.beside(fn_args.train_files[0]).counts["train"] == (25, 11, 20)


def test_another_seed_picks_other_images(source, mixed, tmp_path):
    other, _ = run(source, tmp_path, strategy={"good": 25, "fray": 20}, class_weights="inverse", seed=1)
    kept = [{id for label, id, *_ in read(artifact) if label == 0} for artifact in (mixed[0], other)]
    assert len(kept[0]) == len(kept[1]) == 25
    assert kept[0] != kept[1]


def test_without_a_strategy_only_the_weight_is_added(source, tmp_path):
    output, _ = run(source, tmp_path, strategy="none")
    assert read(output) == [(label, id, image, 1.0) for label, id, image, _ in read(source)]


@pytest.mark.parametrize(
    "workers",
    [
        ["--direct_num_workers=4", "--direct_running_mode=multi_threading"],
        pytest.param(["--direct_num_workers=2", "--direct_running_mode=multi_processing"], marks=pytest.mark.e2e),
    ],
    ids=["4 threads", "2 processes"],
)
def test_the_number_of_workers_changes_no_byte(source, mixed, tmp_path, workers):
    output, hyperparameters = run(
        source, tmp_path, "--runner=DirectRunner", *workers, strategy={"good": 25, "fray": 20}, class_weights="inverse"
    )
    assert digest(output.uri) == digest(mixed[0].uri)
    assert digest(hyperparameters.uri) == digest(mixed[1].uri)


def test_a_class_without_training_images_stops_before_anything_is_written(tmp_path):
    source = write_source(tmp_path / "source", counts=(5, 0))
    with pytest.raises(UserError, match="class `break` has 0 training images"):
        run(source, tmp_path, strategy="oversample")
    assert not (tmp_path / "examples").exists()
