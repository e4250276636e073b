"""`run_fn` of the GAN: what it writes, and that it goes on where it was broken off."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models import build, helper, training
from models.build import build_gan
from models.errors import UserError
from models.export import METADATA_FILE
from models.generator import Generator
from models.options import GANOptions

CLASSES = tuple(map(str, range(10)))
SMALL = GANOptions(width=8, latent={"dim": 8}, batch_size=16, steps=40, checkpoint_every=20, helper_steps=4)


def values(gan):
    return [variable.numpy() for variable in gan.state()]


def trained(options, examples, directory, seed=0):
    gan = build_gan(options, examples, CLASSES, {}, seed)
    training.train(gan, options, examples, seed, directory)
    return gan


class Killed(Exception):
    """What breaks a run off."""


def test_a_run_that_was_broken_off_ends_with_the_very_same_weights(digits, tmp_path, monkeypatch):
    options = SMALL.model_copy(update={"steps": 60})  # a call of 50 steps and one of 10
    undisturbed = trained(options, digits.train, tmp_path / "a")

    def killed(self, epoch, logs=None):
        saves(self, epoch, logs)
        raise Killed

    saves = training.Checkpoint.on_epoch_end
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training.Checkpoint, "on_epoch_end", killed)
        trained(options, digits.train, tmp_path / "b")
    resumed = trained(options, digits.train, tmp_path / "b")
    assert resumed.step.numpy() == 60
    for one, other in zip(values(undisturbed), values(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    steps = [json.loads(line)["step"] for line in (tmp_path / "b" / "history.jsonl").read_text().splitlines()]
    assert steps == [50, 60]


def test_a_finished_training_is_not_trained_again(digits, tmp_path):
    first = trained(SMALL, digits.train, tmp_path)
    history = (tmp_path / "history.jsonl").read_text()
    again = trained(SMALL, digits.train, tmp_path)
    assert all(map(np.array_equal, values(first), values(again)))
    assert (tmp_path / "history.jsonl").read_text() == history


def test_training_that_diverges_stops_and_names_the_last_good_checkpoint(digits, tmp_path):
    gan = build_gan(SMALL, digits.train, CLASSES, {}, seed=0)
    gan.generator.trainable_variables[0].assign(gan.generator.trainable_variables[0] * np.nan)
    with pytest.raises(FloatingPointError, match=r"in step 1: not finite: .*g_loss.*last good checkpoint: none"):
        training.train(gan, SMALL, digits.train, 0, tmp_path)
    assert not list(tmp_path.glob("ckpt*"))


def test_a_run_that_diverges_goes_back_at_half_the_rates_and_only_then_gives_up(digits, tmp_path, caplog):
    """Poison after step 50 makes every attempt fail; the checkpoint of step 50 is what it goes back to."""
    options = SMALL.model_copy(update={"steps": 100, "checkpoint_every": 50, "on_divergence": "rollback"})
    gan = build_gan(options, digits.train, CLASSES, {}, seed=0)
    note = gan._note

    def poisoned(figures):
        bad = tf.where(gan.step > 60, np.nan, 1.0)
        note({name: value * bad for name, value in figures.items()})

    gan._note = poisoned
    with pytest.raises(FloatingPointError, match=r"in step 61: .*last good checkpoint: .*ckpt-50"):
        training.train(gan, options, digits.train, 0, tmp_path)
    assert caplog.text.count("going back to step 50") == training.ROLLBACKS
    assert gan.generator_optimizer.schedule.scale.numpy() == 0.5**training.ROLLBACKS
    assert not list(tmp_path.glob("ckpt-100*"))


def test_a_batch_is_all_of_the_data_or_at_most_that(digits, tmp_path):
    count = len(digits.train.labels)
    everything = SMALL.model_copy(update={"batch_size": "all", "steps": 1})
    gan = trained(everything, digits.train, tmp_path / "all")
    assert build.batch_size(everything, digits.train) == count and gan.step.numpy() == 1
    with pytest.raises(UserError, match=f"`gan.batch_size`: a batch of 4000 images is larger than the {count}"):
        trained(SMALL.model_copy(update={"batch_size": 4000}), digits.train, tmp_path / "more")


def test_trainings_that_differ_lie_in_directories_of_their_own(digits, tmp_path):
    base = (SMALL, digits.train, CLASSES, {"class_weights": [1.0] * 10}, 0, "c")
    others = [
        (SMALL.model_copy(update={"width": 12}), *base[1:]),
        (SMALL, digits.eval, *base[2:]),
        (*base[:2], CLASSES[::-1], *base[3:]),
        (*base[:3], {"class_weights": [2.0] * 10}, 0, "c"),
        (*base[:4], 1, "c"),
        (*base[:5], "d"),
    ]

    def directory(*args):
        return training.training_directory(tmp_path, training.identity(*args))

    assert directory(*base) == directory(*base)
    assert len({directory(*args) for args in (base, *others)}) == 7
    assert json.loads((directory(*base) / "training.json").read_text())["options"]["width"] == 8
    same = {"checkpoint_every": 7, "keep_checkpoints": 9, "monitor": {"every": 3}, "export": {"filter": None},
            "warm_start": {"steps": 5}}  # fmt: skip
    assert directory(GANOptions(**{**base[0].model_dump(), **same}), *base[1:]) == directory(*base)


@pytest.mark.e2e
def test_run_fn_gives_the_same_generator_in_every_process(fn_args):
    args = fn_args(
        hyperparameters={"class_weights": [1.0] * 10, "counts_before": [10] * 10, "counts_after": [150] * 10},
        options=SMALL.model_dump_json(),
    )
    training.run_fn(args)
    fingerprint = Generator(args.serving_model_dir).fingerprint
    # From the checkpoint of the last step, and trained anew.
    for root in (args.custom_config["checkpoint_root"], str(Path(args.model_run_dir) / "elsewhere")):
        again = fn_args(hyperparameters=args.hyperparameters, options=SMALL.model_dump_json(), checkpoint_root=root)
        program = f"import types; from models.training import run_fn; run_fn(types.SimpleNamespace(**{vars(again)!r}))"
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        assert Generator(again.serving_model_dir).fingerprint == fingerprint


@pytest.mark.e2e
def test_of_two_processes_that_train_the_same_at_once_one_waits_and_takes_what_the_other_made(fn_args):
    program = (
        "import logging, types; from models.training import run_fn; logging.basicConfig(level=20)\n"
        "print('ready', flush=True); input()\n"  # imports take longer than this training
        "run_fn(types.SimpleNamespace(**{!r}))"
    )
    both = [fn_args(options=SMALL.model_dump_json()) for _ in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program.format(vars(args))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for args in both
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n", "ready\n"]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert ["waiting for it" in text for text in told].count(True) == 1
    assert len({Generator(args.serving_model_dir).fingerprint for args in both}) == 1
    (directory,) = Path(both[0].custom_config["checkpoint_root"]).iterdir()
    assert [json.loads(line)["step"] for line in (directory / "history.jsonl").read_text().splitlines()] == [40]


def test_run_fn_exports_the_filter_that_the_options_describe_and_trains_its_helper_once(fn_args, monkeypatch):
    few = SMALL.model_copy(update={"steps": 2})

    def exported(chosen):
        args = fn_args(options=GANOptions(**{**few.model_dump(), "export": {"filter": chosen}}).model_dump_json())
        training.run_fn(args)
        metadata = json.loads((Path(args.serving_model_dir) / METADATA_FILE).read_text())
        return metadata, tf.saved_model.load(args.serving_model_dir).signatures

    metadata, signatures = exported({"candidates": 2, "threshold": 0.25})
    assert 0 <= metadata["filter"].pop("accuracy") <= 1
    assert metadata["filter"] == {"candidates": 2, "threshold": 0.25} and metadata["training"]["steps"] == 2
    question = {"label": tf.range(10, dtype=tf.int64), "seed": tf.range(10, dtype=tf.int64)}
    answer = signatures["filtered"](**question)
    assert set(answer["tries"].numpy()) <= {1, 2}
    assert b"none of 2 images passed the filter" in answer["status"].numpy()  # after two steps
    monkeypatch.delattr(helper, "train")
    assert exported({"candidates": 3})[0]["filter"]["candidates"] == 3
    metadata, signatures = exported(None)
    assert metadata["filter"] is None and "filtered" not in signatures


def test_run_fn_writes_a_generator_and_its_history(fn_args):
    args = fn_args(options=SMALL.model_copy(update={"steps": 2}).model_dump_json())
    training.run_fn(args)
    generator = Generator(args.serving_model_dir)
    assert generator.generate(np.arange(10), np.zeros(10, np.int64)).shape == (10, 8, 8, 1)
    (row,) = map(json.loads, (Path(args.model_run_dir) / "history.jsonl").read_text().splitlines())
    assert row.keys() == {
        "step",
        "steps_per_second",
        "d_loss",
        "g_loss",
        "d_real",
        "d_fake",
        "d_gradient",
        "g_gradient",
        "d_train",
        "d_heldout",
        "d_generated",
        "overfitting",
        "diversity",
        "diversity_worst",
        "diversity_by_class",
    }
    assert row["step"] == 2
    assert {"samples", "tensorboard", "showcase.npz"} <= {path.name for path in Path(args.model_run_dir).iterdir()}
